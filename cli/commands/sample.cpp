#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/job_progress.h"
#include "cli/console/messages.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/sample/sample_collector.h"
#include "pipeline/sample/sample_shards.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/io/output_file.h"
#include "stages/parquet/duckdb_session.h"

namespace millrace {
namespace fs = std::filesystem;

namespace {

constexpr double kDefaultShardMegabytes = 48;
constexpr std::uint64_t kShardBytes = 4'000'000;
constexpr const char* kManifest = "sample.json";

constexpr double kMostShardMegabytes = 1e12;

struct SampleArguments {
  std::string out;
  double megabytes = kDefaultShardMegabytes;
  std::vector<std::string> from;
  bool only_from = false;
  bool force = false;
};

struct Summary {
  Json corpora = Json::array();

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

/// Manual pages of all languages form one corpus, so that each of its shards contains all languages.
void join_manuals(SampleCollector& collector) {
  auto& manuals = collector.documents[static_cast<std::size_t>(SampleCorpus::man)];
  auto& translated = collector.documents[static_cast<std::size_t>(SampleCorpus::man_translated)];
  std::ranges::move(translated, std::back_inserter(manuals));
  translated.clear();
  std::ranges::sort(manuals, mixed_less, &SampleDocument::source);
}

void write_shards(const fs::path& out, SampleCollector& collector, Summary& summary) {
  join_manuals(collector);
  Progress progress("writing shards", kSampleCorpora, "corpora");
  for (std::size_t i = 0; i < kSampleCorpora; ++i) {
    progress.update(i);
    std::vector<SampleDocument>& documents = collector.documents[i];
    const std::string name = kSamplePlan[i].name;
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

void list_files(const fs::path& out, Json& manifest) {
  std::map<std::string, std::uintmax_t> sizes;
  for (const auto& entry : fs::recursive_directory_iterator(out)) {
    if (entry.is_regular_file()) sizes[entry.path().lexically_relative(out).generic_string()] = entry.file_size();
  }
  manifest["files"] = sizes;
}

void print_summary(const JsonValue& manifest) {
  std::string text =
      fmt::format("{:<16} {:<32} {:>10} {:>10} {:>7}\n", "corpus", "folder", "documents", "text MB", "shards");
  for (const JsonValue& corpus : manifest.at("corpora").elements()) {
    text += fmt::format("{:<16} {:<32} {:>10} {:>10.2f} {:>7}\n", corpus.get<std::string>("corpus"),
                        corpus.get<std::string>("folder"), corpus.get<std::uint64_t>("documents"),
                        corpus.get<double>("text_bytes") / 1e6, corpus.get<int>("shards"));
  }
  std::string left_out;
  for (const auto& [reason, count] : manifest.at("left_out").members()) {
    left_out += fmt::format("{}{} {}", left_out.empty() ? "" : ", ", count.as<std::uint64_t>(), reason);
  }
  print_results(text + fmt::format("left out: {}\nin total {:.2f} MB of text\n", left_out,
                                   manifest.get<double>("text_bytes") / 1e6));
}

/// True if `out` holds a complete sample made with the same arguments. Throws ConfigError if it holds anything else.
bool reuse(const fs::path& out, const SampleArguments& arguments) {
  if (!fs::exists(out)) return false;
  if (!fs::is_directory(out)) throw ConfigError(fmt::format("--out {}: is no folder", out.string()));
  if (fs::is_empty(out)) return false;
  if (!fs::exists(out / kManifest)) {
    throw ConfigError(fmt::format("--out {}: the folder is not empty and holds no sample; name another", out.string()));
  }
  if (arguments.force) return false;
  const JsonValue manifest = JsonValue::read(out / kManifest, "the sample is damaged; --force makes it anew");
  for (const auto& [file, bytes] : manifest.at("files").members()) {
    std::error_code missing;
    if (fs::file_size(out / file, missing) != bytes.as<std::uint64_t>() || missing)
      throw ConfigError(
          fmt::format("--out {}: the sample there is damaged at {}; --force makes it anew", out.string(), file));
  }
  if (manifest.get<double>("megabytes") != arguments.megabytes ||
      manifest.get<std::vector<std::string>>("from") != arguments.from) {
    throw ConfigError(
        fmt::format("--out {}: holds a sample made with other arguments (--megabytes {}); --force replaces it",
                    out.string(), manifest.get<double>("megabytes")));
  }
  print_results(fmt::format("{} holds this sample already; --force makes it anew\n", out.string()));
  print_summary(manifest);
  return true;
}

void sample(const SampleArguments& arguments) {
  if (arguments.only_from && arguments.from.empty()) throw ConfigError("--only-from needs a --from");
  for (const std::string& root : arguments.from) {
    if (!fs::is_directory(root)) throw ConfigError(fmt::format("--from {}: is no folder", root));
  }
  fs::path out = fs::path(arguments.out).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();
  require_name(out);
  if (reuse(out, arguments)) return;
  { const DuckdbSession there; }  // Throws now if DuckDB is missing, instead of after a minute's work.
  AtomicFolder folder(out);
  std::vector<std::string> roots = arguments.from;
  if (!arguments.only_from) roots.insert(roots.begin(), "/");
  SampleCollector collector(roots, arguments.megabytes * 1e6);
  JobProgress progress;
  collector.collect(progress.callbacks());
  progress.finish();
  const double found = static_cast<double>(collector.bytes()) / 1e6;
  if (collector.bytes() == 0) throw DataError("found no text at all on this machine; --from names a folder with some");
  Summary summary;
  Json manifest = {{"megabytes", arguments.megabytes}, {"from", arguments.from}, {"text_bytes", collector.bytes()}};
  for (std::size_t i = 1; i < kLeftOutKinds; ++i) {
    manifest["left_out"][name_of(static_cast<LeftOut>(i))] = collector.left_out[i];
  }
  write_shards(folder.path(), collector, summary);
  manifest["corpora"] = summary.corpora;
  list_files(folder.path(), manifest);
  const std::string text = json_page(manifest);
  write_file_atomically(folder.path() / kManifest, text);
  folder.publish();
  print_summary(JsonValue::parse(text, {kManifest, 0, ""}));
  if (found < arguments.megabytes * 0.99) {
    say("warning: asked for {:.0f} MB of text, found {:.1f} MB: documentation may be stripped from this machine; "
        "--from DIR adds a folder with unpacked packages",
        arguments.megabytes, found);
  }
}

}  // namespace

void add_sample(CLI::App& app) {
  auto arguments = std::make_shared<SampleArguments>();
  const Command command(app, "sample",
                        "Make small real shards from this machine's documentation, manual pages, licences and sources");
  command.add_option("--out", arguments->out, "Folder of the sample: redpajama/... and the_stack/data/...").required();
  command.add_option("--megabytes", arguments->megabytes, "Text in total, in millions of bytes")
      .number_from(1, kMostShardMegabytes);
  command.add_option("--from", arguments->from,
                     "Another root beside /: packages unpacked by dpkg-deb -x, or any folder of texts and sources");
  command.add_flag("--only-from", arguments->only_from, "Take nothing but what --from names");
  command.add_flag("--force", arguments->force, "Make the sample again even if it exists");
  command.footer(
      "The same arguments on the same machine give the same bytes; binary files, files that are not\n"
      "UTF-8, and duplicates are left out and counted.\n\n"
      "Example:\n  millrace sample --out data/sample --megabytes 48");
  command.callback([arguments] { sample(*arguments); });
}

}  // namespace millrace
