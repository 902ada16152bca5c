#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/job_progress.h"
#include "cli/console/messages.h"
#include "cli/console/results.h"
#include "cli/views/index_view.h"
#include "pipeline/config/corpus_name.h"
#include "pipeline/corpora/data_manifest.h"
#include "pipeline/corpora/foreign_shards.h"
#include "pipeline/corpora/reject_json.h"
#include "pipeline/corpora/shard_index.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/io/output_file.h"
#include "stages/io/whole_file.h"
#include "stages/listing/shard_list.h"
#include "stages/record_layout.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Rejects kept with their locations, over all shards.
constexpr std::size_t kNamedRejects = 2'000'000;
constexpr std::size_t kLeastNamedRejects = 100;
constexpr std::size_t kNamedShards = 10;  // Named in the message on shards that could not be read.

struct IndexArguments {
  std::vector<std::string> patterns;
  std::string layout;
  std::string text_field;
  std::string vocabulary;
  std::string out;
  double holdout = 0;
  std::string by;
  int threads = 0;
  bool json = false;
};

struct IndexedFolder {
  fs::path root;
  FoundShards shards;
};

IndexedFolder find_shards(const IndexArguments& arguments) {
  IndexedFolder found{fs::current_path(), {}};
  std::vector<std::string> patterns = arguments.patterns;
  if (patterns.size() == 1 && fs::is_directory(patterns[0])) {
    found.root = fs::absolute(patterns[0]).lexically_normal();
    if (!found.root.has_filename()) found.root = found.root.parent_path();  // "data/" is "data".
    patterns = {found.root.string()};
  }
  found.shards = list_shards(patterns, found.root.string());
  refuse_shards_without_a_name(found.shards.names);
  for (const std::string& folder : found.shards.passed_over) say("passed over in {}", folder);
  std::vector<std::string> paths;
  for (const std::string& shard : found.shards.names) paths.push_back((found.root / shard).string());
  refuse_foreign(paths, arguments.layout);
  return found;
}

std::optional<ShardIndex> earlier_index(const fs::path& file) {
  if (file.empty() || !fs::exists(file)) return std::nullopt;
  ShardIndex index;
  index.manifest = read_manifest(file);
  const fs::path rejects = rejects_beside(file);
  if (fs::exists(rejects)) index.rejects = rejects_from_jsonl(read_whole_file(rejects), rejects.string());
  return index;
}

/// Writes the manifest last: if it exists, the output is complete.
void save(const ShardIndex& index, const fs::path& file) {
  write_output(rejects_beside(file), OutputKind::file, to_jsonl(index.rejects), interrupt_requested);
  write_output(file, OutputKind::file, json_table(manifest_json(index.manifest, fs::absolute(file).parent_path())),
               interrupt_requested);
}

/// Throws DataError naming shards of which nothing could be read.
void refuse_lost_shards(const DataManifest& manifest) {
  std::size_t lost = 0;
  std::string names;
  for (const ShardEntry& entry : manifest.shards) {
    if (entry.is_readable() && !entry.is_lost()) continue;
    if (++lost <= kNamedShards) names += fmt::format("\n  {}", entry.path);
  }
  if (lost == 0) return;
  throw DataError(fmt::format("{} of {} shards could not be read, and a run would stop at them:{}{}", lost,
                              manifest.shards.size(), names, lost > kNamedShards ? "\n  ..." : ""));
}

void index(const IndexArguments& arguments) {
  if (!arguments.layout.empty()) layout_named(arguments.layout);  // Refuses an unknown layout before work begins.
  const auto [root, shards] = find_shards(arguments);
  if (!arguments.out.empty()) {
    require_writable(arguments.out, OutputKind::file);
    require_writable(rejects_beside(arguments.out), OutputKind::file);
  }
  const std::optional<ShardIndex> earlier = earlier_index(arguments.out);
  std::optional<Vocabulary> vocabulary;
  if (!arguments.vocabulary.empty()) vocabulary.emplace(arguments.vocabulary);

  IndexOptions options;
  options.layout = arguments.layout;
  options.text_field = arguments.text_field;
  options.vocabulary = vocabulary ? &*vocabulary : nullptr;
  options.holdout = arguments.holdout;
  options.by = arguments.by;
  options.named_rejects = std::max(kLeastNamedRejects, kNamedRejects / shards.names.size());
  JobProgress progress;
  std::optional<SavesWhenInterrupted> saves;
  if (!arguments.out.empty()) saves.emplace();
  const ShardIndex made =
      build_index(root, shards.names, options, arguments.threads, earlier ? &*earlier : nullptr, progress.callbacks());
  progress.finish();

  if (!arguments.out.empty()) {
    save(made, arguments.out);
    say("{}: {} of {} shards, {} of them taken over from before", arguments.out, made.manifest.shards.size(),
        shards.names.size(), made.taken_over);
  }
  if (!made.manifest.complete) {
    say("interrupted{}", arguments.out.empty() ? "" : "; the same command goes on");
    throw Interrupted();
  }
  const fs::path folder = arguments.out.empty() ? fs::current_path() : fs::absolute(arguments.out).parent_path();
  print_results(arguments.json ? index_json(made, arguments.by, folder) : index_text(made, arguments.by));
  refuse_lost_shards(made.manifest);
}

}  // namespace

void add_index(CLI::App& app) {
  auto arguments = std::make_shared<IndexArguments>();
  const Command command(app, "index", "Say what shards hold: records, text, tokens, and what is wrong");
  command.add_option("shards", arguments->patterns, "Directories, files, globs, @LIST files of them")
      .required()
      .type_name("PATH|GLOB|@LIST");
  command.add_option("--layout", arguments->layout,
                     "Layout of the records; default: recognised from each shard's content");
  command.add_option("--text-field", arguments->text_field, "Dotted path of the text; default: the layout's");
  command.add_option("--vocab", arguments->vocabulary, "Also count tokens, with this SentencePiece .model file");
  command
      .add_option("--holdout", arguments->holdout,
                  "Also count the documents that a run with this [data] holdout keeps for evaluation")
      .number_from(0, 1);
  command.add_option("--out", arguments->out,
                     "Write the manifest to this file, and the rejects beside it; shards that it holds already and "
                     "that did not change are not read again");
  command.add_option("--by", arguments->by,
                     "Also count documents per value of this field: lang, license, ... or a dotted path; reads every "
                     "shard");
  command.add_threads_option(arguments->threads, "Threads", "one a processor");
  command.add_flag("--json", arguments->json, "Print the manifest as JSON");
  command.footer(
      fmt::format("Example:\n  millrace index data/sample --out data/sample/{}\n"
                  "is where the other commands look for what a data directory holds.\n"
                  "  millrace index data/sample --by lang  # shows what a mix's keep and drop can choose from",
                  kManifestName));
  command.callback([arguments] { index(*arguments); });
}

}  // namespace millrace
