#include "cli/commands/recorded_rows.h"

#include <memory>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "cli/commands/inspect_statistics.h"
#include "cli/console/interrupt.h"
#include "cli/console/job_progress.h"
#include "cli/console/messages.h"
#include "cli/console/progress.h"
#include "pipeline/corpora/data_manifest.h"
#include "pipeline/plan/available_tokens.h"
#include "pipeline/plan/document_values.h"
#include "pipeline/stream/data_pipeline.h"
#include "stages/errors.h"

namespace millrace {
namespace {

std::vector<DocumentProperty> properties_in(const RunCorpus& corpus, const StreamConfig& stream,
                                            const std::optional<std::vector<double>>& shard_tokens,
                                            const std::string& by, int threads) {
  std::vector<DocumentProperty> properties{shard_property()};
  if (shard_tokens) properties[0].epoch = *shard_tokens;
  if (by.empty()) return properties;
  JobProgress progress;
  const auto values = std::make_shared<const DocumentValues>(stream, corpus, by, threads, progress.callbacks());
  progress.finish();
  if (!values->any()) {
    say("corpus {}: no document has the field {}: its windows are compared by shard alone", corpus.corpus.name, by);
    return properties;
  }
  properties.push_back({by, [values](std::uint32_t shard, std::uint64_t record) { return values->of(shard, record); },
                        shard_tokens ? values->tokens(*shard_tokens) : std::vector<double>{}});
  return properties;
}

}  // namespace

void make_rows_again(const RecordedRun& recorded, const Vocabulary& vocabulary, const RowsAgain& rows,
                     const std::function<void(const StreamRow&)>& use) {
  DataPipeline::Options options;
  options.threads = rows.threads;
  const std::optional<StreamPosition> start = recorded.position_before(rows.first);
  const std::uint64_t start_row = start ? start->row : 0;
  DataPipeline pipeline(recorded.run.stream, recorded.corpora, vocabulary, start, options);
  if (rows.first > start_row)
    say("{}making rows {} to {} again", recorded.has_run ? "" : "this run never ran: ", start_row, rows.first);
  Progress replay("replay", rows.first - start_row, "rows");
  std::optional<Progress> count;
  if (rows.counting) count.emplace("count", rows.end - rows.first, "rows");
  std::uint64_t used = 0;
  while (auto batch = pipeline.next()) {
    const StreamRow& row = batch->front();
    if (interrupt_requested()) throw Interrupted();
    if (row.number < rows.first) {
      replay.update(row.number + 1 - start_row);
      continue;
    }
    replay.finish();
    if (row.number >= rows.end) break;
    use(row);
    ++used;
    if (count) count->update(used);
  }
  if (count) count->finish();
  if (used == 0) throw ConfigError(fmt::format("the stream ends before row {}", rows.first));
}

PropertiesOf recorded_properties(const RecordedRun& recorded, const Vocabulary& vocabulary, const std::string& by,
                                 int threads) {
  const std::optional<DataManifest> manifest = manifest_of(recorded.run.stream.data_directory);
  return [&recorded, &vocabulary, by, threads, manifest](std::uint32_t index) {
    const StreamConfig& stream = recorded.run.stream;
    const RunCorpus& corpus = recorded.corpora[index];
    const auto tokens = manifest ? counted_shard_tokens(stream, corpus, vocabulary, *manifest) : std::nullopt;
    return properties_in(corpus, stream, tokens, by, threads);
  };
}

}  // namespace millrace
