#include "cli/views/document_view.h"

#include <fmt/format.h>

#include "cli/console/text_table.h"
#include "pipeline/json_text.h"

namespace millrace {
namespace {}  // namespace

std::string document_text(const FoundDocument& found, std::uint64_t end) {
  std::string out = fmt::format("{}:{} of corpus {}", found.shard, found.record, found.corpus);
  if (!found.never_read_because.empty()) return out + fmt::format(": in no row, it is {}\n", found.never_read_because);
  if (found.hits.empty()) return out + fmt::format(": not in the first {} rows: not reached yet\n", end);
  TextTable table({{"row"}, {"example"}, {"epoch"}, {"phase"}, {"denoiser", Align::left}, {"tokens"}});
  for (const DocumentHit& hit : found.hits)
    table.add({fmt::format("{}", hit.row), fmt::format("{}", hit.example), fmt::format("{}", hit.epoch),
               fmt::format("{}", hit.phase + 1), hit.denoiser, fmt::format("{} to {}", hit.from, hit.to)});
  return out + "\n" + table.text();
}

std::string documents_json(const std::vector<FoundDocument>& found, std::uint64_t end) {
  Json documents = Json::array();
  for (const FoundDocument& one : found) {
    Json rows = Json::array();
    for (const DocumentHit& hit : one.hits)
      rows.push_back({{"row", hit.row},
                      {"example", hit.example},
                      {"epoch", hit.epoch},
                      {"phase", hit.phase},
                      {"denoiser", hit.denoiser},
                      {"from", hit.from},
                      {"to", hit.to}});
    documents.push_back({{"corpus", one.corpus},
                         {"shard", one.shard},
                         {"record", one.record},
                         {"never_read_because", one.never_read_because.empty() ? Json() : Json(one.never_read_because)},
                         {"rows", rows}});
  }
  const Json all{{"rows_trained", end}, {"documents", documents}};
  return json_page(all);
}

}  // namespace millrace
