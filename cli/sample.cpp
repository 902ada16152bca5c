#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <unordered_set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <xxhash.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/output_file.h"
#include "cli/progress.h"
#include "cli/sample_shards.h"
#include "cli/sample_text.h"
#include "stages/duckdb_session.h"
#include "stages/errors.h"

namespace millrace {
namespace fs = std::filesystem;

namespace {

constexpr double kDefaultMegabytes = 48;
constexpr std::uint64_t kShardBytes = 4'000'000;
constexpr int kRounds = 8;
constexpr const char* kManifest = "sample.json";

struct Arguments {
  std::string out;
  double megabytes = kDefaultMegabytes;
  std::vector<std::string> from;
  bool force = false;
};

struct CorpusPlan {
  const char* name;
  double share;  ///< Of the text, before one corpus makes up for what another lacks.
};
constexpr std::array<CorpusPlan, kSampleCorpora> kPlan{{{"docs", 0.28},
                                                        {"man", 0.17},
                                                        {"man-translated", 0.15},
                                                        {"licences", 0.05},
                                                        {"c-family", 0.20},
                                                        {"scripts", 0.15}}};

/// One corpus while it is being filled from its sources, in their order.
struct Filling {
  std::vector<SampleSource> sources;
  std::size_t next = 0;
  std::uint64_t bytes = 0;
  double target = 0;
  std::vector<SampleDocument> documents;

  bool exhausted() const { return next == sources.size(); }
};

/// Chooses the documents: every corpus up to its share; what one lacks, the others make up for.
class Collector {
 public:
  explicit Collector(const Arguments& arguments) : total_(arguments.megabytes * 1e6) {
    std::vector<std::string> roots = {"/"};
    roots.insert(roots.end(), arguments.from.begin(), arguments.from.end());
    std::vector<std::vector<SampleSource>> sources = find_sample_sources(roots);
    for (std::size_t i = 0; i < corpora.size(); ++i) {
      corpora[i].sources = std::move(sources[i]);
      corpora[i].target = total_ * kPlan[i].share;
    }
  }

  void collect() {
    Progress progress("reading this machine's files", static_cast<std::uint64_t>(total_), "bytes");
    for (int round = 0; round < kRounds && round_off() > 0; ++round) {
      for (std::size_t i = 0; i < corpora.size(); ++i) fill(static_cast<SampleCorpus>(i), progress);
      raise_targets();
    }
    progress.finish();
  }

  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const Filling& corpus : corpora) sum += corpus.bytes;
    return sum;
  }

  std::array<Filling, kSampleCorpora> corpora;
  std::array<std::uint64_t, kLeftOutKinds> left_out{};

 private:
  /// Bytes still missing, unless there is nowhere to take them from.
  double round_off() const {
    const bool more = std::any_of(corpora.begin(), corpora.end(), [](const Filling& c) { return !c.exhausted(); });
    return more ? total_ - static_cast<double>(bytes()) : 0;
  }

  void raise_targets() {
    double open_share = 0;
    for (std::size_t i = 0; i < corpora.size(); ++i) open_share += corpora[i].exhausted() ? 0 : kPlan[i].share;
    const double missing = round_off();
    for (std::size_t i = 0; i < corpora.size(); ++i) {
      if (!corpora[i].exhausted()) corpora[i].target += missing * kPlan[i].share / open_share;
    }
  }

  void fill(SampleCorpus kind, Progress& progress) {
    Filling& corpus = corpora[static_cast<std::size_t>(kind)];
    std::string text;
    while (static_cast<double>(corpus.bytes) < corpus.target && !corpus.exhausted()) {
      if (interrupt_requested()) throw Interrupted();
      SampleSource source = corpus.sources[corpus.next++];
      LeftOut reason = load_sample_text(source, kind, text);
      if (reason == LeftOut::none && !seen_.insert(XXH3_64bits(text.data(), text.size())).second) {
        reason = LeftOut::duplicate;
      }
      ++left_out[static_cast<std::size_t>(reason)];
      if (reason != LeftOut::none) continue;
      if (source.extension == "h" && looks_like_cpp(text)) {
        source.language = "C++";
        source.folder = "c++";
      }
      corpus.bytes += text.size();
      corpus.documents.push_back({std::move(source), text});
      progress.update(std::min(bytes(), static_cast<std::uint64_t>(total_)));
    }
  }

  double total_;
  std::unordered_set<std::uint64_t> seen_;
};

/// A folder that becomes visible under its own name only when it is complete.
class PartialFolder {
 public:
  explicit PartialFolder(fs::path target) : target_(std::move(target)), partial_(target_.string() + ".partial") {
    std::error_code error;
    fs::remove_all(partial_, error);
    if (error) throw ConfigError(fmt::format("cannot remove {}: {}", partial_.string(), error.message()));
    make_folder(partial_);
  }
  ~PartialFolder() {
    std::error_code ignored;
    fs::remove_all(partial_, ignored);
  }
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const fs::path& path() const { return partial_; }
  void publish() {
    flush_to_disk(partial_);
    fs::remove_all(target_);
    fs::rename(partial_, target_);
  }

 private:
  fs::path target_;
  fs::path partial_;
};

struct Summary {
  nlohmann::ordered_json corpora = nlohmann::ordered_json::array();

  void add(const std::string& name, const std::string& folder, const std::vector<SampleDocument>& documents,
           int shards) {
    std::uint64_t bytes = 0;
    for (const SampleDocument& document : documents) bytes += document.text.size();
    corpora.push_back({{"corpus", name},
                       {"folder", folder},
                       {"documents", documents.size()},
                       {"text_bytes", bytes},
                       {"shards", shards}});
  }
};

void write_shards(const fs::path& out, Collector& collector, Summary& summary) {
  Progress progress("writing shards", kSampleCorpora, "corpora");
  for (std::size_t i = 0; i < collector.corpora.size(); ++i) {
    progress.update(i);
    std::vector<SampleDocument>& documents = collector.corpora[i].documents;
    const std::string name = kPlan[i].name;
    const auto kind = static_cast<SampleCorpus>(i);
    if (documents.empty()) continue;
    if (kind != SampleCorpus::c_family && kind != SampleCorpus::scripts) {
      const std::string folder = "redpajama/" + name;
      summary.add(name, folder, documents, write_redpajama(out / folder, name, documents, kShardBytes));
      continue;
    }
    std::map<std::string, std::vector<SampleDocument>> by_language;
    for (SampleDocument& document : documents) by_language[document.source.folder].push_back(std::move(document));
    for (const auto& [language, part] : by_language) {
      if (interrupt_requested()) throw Interrupted();
      const std::string folder = "the_stack/data/" + language;
      summary.add(name, folder, part, write_the_stack(out / folder, part, kShardBytes));
    }
  }
  progress.update(kSampleCorpora);
  progress.finish();
}

void list_files(const fs::path& out, nlohmann::ordered_json& manifest) {
  std::map<std::string, std::uintmax_t> sizes;
  for (const auto& entry : fs::recursive_directory_iterator(out)) {
    if (entry.is_regular_file()) sizes[entry.path().lexically_relative(out).generic_string()] = entry.file_size();
  }
  manifest["files"] = sizes;
}

void print_summary(const nlohmann::ordered_json& manifest) {
  fmt::print("{:<16} {:<32} {:>10} {:>10} {:>7}\n", "corpus", "folder", "documents", "text MB", "shards");
  for (const auto& corpus : manifest["corpora"]) {
    fmt::print("{:<16} {:<32} {:>10} {:>10.2f} {:>7}\n", corpus["corpus"].get<std::string>(),
               corpus["folder"].get<std::string>(), corpus["documents"].get<std::uint64_t>(),
               corpus["text_bytes"].get<double>() / 1e6, corpus["shards"].get<int>());
  }
  std::string left_out;
  for (const auto& [reason, count] : manifest["left_out"].items()) {
    left_out += fmt::format("{}{} {}", left_out.empty() ? "" : ", ", count.get<std::uint64_t>(), reason);
  }
  fmt::print("left out: {}\n", left_out);
  fmt::print("in total {:.2f} MB of text\n", manifest["text_bytes"].get<double>() / 1e6);
  std::fflush(stdout);
}

/// True if `out` holds a complete sample made with the same arguments. Throws ConfigError if it holds anything else.
bool reuse(const fs::path& out, const Arguments& arguments) {
  if (!fs::exists(out)) return false;
  if (!fs::is_directory(out)) throw ConfigError(fmt::format("--out {}: is no folder", out.string()));
  if (fs::is_empty(out)) return false;
  if (!fs::exists(out / kManifest)) {
    throw ConfigError(fmt::format("--out {}: the folder is not empty and holds no sample; name another", out.string()));
  }
  if (arguments.force) return false;
  const auto manifest = nlohmann::ordered_json::parse(std::ifstream(out / kManifest), nullptr, false);
  bool intact = manifest.is_object() && manifest.contains("files") && manifest.contains("corpora");
  const nlohmann::ordered_json files = intact ? manifest["files"] : nlohmann::ordered_json::object();
  for (const auto& [file, size] : files.items()) {
    std::error_code missing;
    intact = intact && fs::file_size(out / file, missing) == size.get<std::uintmax_t>() && !missing;
  }
  if (!intact) {
    throw ConfigError(fmt::format("--out {}: the sample there is damaged; --force makes it anew", out.string()));
  }
  if (manifest["megabytes"] != arguments.megabytes || manifest["from"] != arguments.from) {
    throw ConfigError(
        fmt::format("--out {}: holds a sample made with other arguments (--megabytes {}); --force replaces it",
                    out.string(), manifest["megabytes"].dump()));
  }
  fmt::print("{} holds this sample already; --force makes it anew\n", out.string());
  print_summary(manifest);
  return true;
}

void sample(const Arguments& arguments) {
  if (!(arguments.megabytes >= 1)) throw ConfigError("--megabytes must be at least 1");
  for (const std::string& root : arguments.from) {
    if (!fs::is_directory(root)) throw ConfigError(fmt::format("--from {}: is no folder", root));
  }
  fs::path out = fs::path(arguments.out).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();
  if (reuse(out, arguments)) return;
  DuckdbSession();  // Without DuckDB better say so now than after a minute's work.
  PartialFolder folder(out);
  Collector collector(arguments);
  collector.collect();
  const double found = static_cast<double>(collector.bytes()) / 1e6;
  if (collector.bytes() == 0) throw DataError("found no text at all on this machine; --from names a folder with some");
  Summary summary;
  nlohmann::ordered_json manifest = {
      {"megabytes", arguments.megabytes}, {"from", arguments.from}, {"text_bytes", collector.bytes()}};
  for (std::size_t i = 1; i < kLeftOutKinds; ++i) {
    manifest["left_out"][name_of(static_cast<LeftOut>(i))] = collector.left_out[i];
  }
  write_shards(folder.path(), collector, summary);
  manifest["corpora"] = summary.corpora;
  list_files(folder.path(), manifest);
  write_atomically(folder.path() / kManifest, manifest.dump(1) + "\n");
  folder.publish();
  print_summary(manifest);
  if (found < arguments.megabytes * 0.99) {
    fmt::print(
        stderr,
        "warning: asked for {:.0f} MB of text, found {:.1f} MB: documentation may be stripped from this machine; "
        "--from DIR adds a folder with unpacked packages\n",
        arguments.megabytes, found);
  }
}

}  // namespace

void add_sample(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "sample", "Make small real shards from this machine's documentation, manual pages, licences and sources");
  command->add_option("--out", arguments->out, "Folder of the sample: redpajama/... and the_stack/data/...")
      ->required();
  command->add_option("--megabytes", arguments->megabytes, "Text in total, in millions of bytes");
  command->add_option("--from", arguments->from,
                      "Another root beside /: packages unpacked by dpkg-deb -x, or any folder of texts and sources");
  command->add_flag("--force", arguments->force, "Make the sample anew though there is one");
  command->footer(
      "The same arguments on the same machine give the same bytes; binary files, files that are not\n"
      "UTF-8, and duplicates are left out and counted.\n\n"
      "Example:\n  millrace sample --out data/sample --megabytes 48");
  command->callback([arguments] { sample(*arguments); });
}

}  // namespace millrace
