#include "cli/commands/inspect_statistics.h"

#include "cli/console/results.h"
#include "cli/views/mixing_view.h"
#include "cli/views/statistics_view.h"
#include "pipeline/json_text.h"

namespace millrace {

DocumentProperty shard_property() {
  return {"shard", [](std::uint32_t shard, std::uint64_t) { return shard; }, {}};
}

RowCounts::RowCounts(const StreamConfig& config, TokenId first_sentinel, const MixingOptions& options)
    : config_(config),
      statistics_(config, first_sentinel),
      mixing_(options.batch_rows, options.window_rows.value_or(MixingOptions::kWindowRows)) {}

void RowCounts::add(const StreamRow& row) {
  statistics_.add(row);
  mixing_.add(row);
}

void RowCounts::print(const std::vector<std::string>& corpora, const PropertiesOf& properties_of, bool json) const {
  const MixingRecord mixing = measure_all(mixing_, corpora, properties_of);
  if (json) {
    Json all = statistics_json(statistics_, config_, corpora);
    all["mixing"] = mixing;
    print_results(json_line(all) + "\n");
  } else {
    print_results(statistics_text(statistics_, config_, corpora) + mixing_text(mixing));
  }
}

}  // namespace millrace
