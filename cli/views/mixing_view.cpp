#include "cli/views/mixing_view.h"

#include <fmt/format.h>

#include "cli/console/text_table.h"

namespace millrace {
namespace {

std::string pairs_table(const MixingRecord& record) {
  TextTable table({{"corpus", Align::left}, {"examples"}, {"documents"}, {"pairs"}, {"shuffled"}, {"ratio"}});
  for (const auto& [name, mixing] : record.corpora) {
    const std::optional<double> ratio = mixing.pairs->ratio();
    table.add({name, fmt::format("{}", mixing.examples), fmt::format("{}", mixing.documents),
               fmt::format("{:.0f}", mixing.pairs->found), fmt::format("{:.1f}", mixing.pairs->shuffled),
               ratio ? fmt::format("{:.2f}", *ratio) : "-"});
  }
  return fmt::format("pairs of rows of a batch of {} that share a document\n{}", *record.batch_rows, table.text());
}

std::string spread_table(const MixingRecord& record) {
  TextTable table({{"corpus", Align::left},
                   {"by", Align::left},
                   {"values"},
                   {"windows"},
                   {"from", Align::left},
                   {"mean"},
                   {"shuffled"},
                   {"max"},
                   {"shuffled"}});
  for (const NamedMixing& corpus : record.corpora) {
    for (const WindowSpread& spread : corpus.mixing.spreads) {
      const auto add = [&](const char* from, const WindowDistances& distances) {
        table.add({corpus.name, spread.property, fmt::format("{}", spread.values),
                   fmt::format("{}", spread.windows.size()), from, fmt::format("{:.3f}", distances.mean.found),
                   fmt::format("{:.3f}", distances.mean.shuffled), fmt::format("{:.3f}", distances.max.found),
                   fmt::format("{:.3f}", distances.max.shuffled)});
      };
      add("these rows", spread.from_rows);
      if (spread.from_epoch) add("the epoch", *spread.from_epoch);
    }
  }
  return fmt::format("total variation distance of windows of {} rows\n{}", record.window_rows, table.text());
}

}  // namespace

std::string mixing_text(const MixingRecord& record) {
  std::string out = fmt::format("\nmixing of {} rows, beside the mean of {} perfect shuffles of their examples\n\n",
                                record.rows, record.shuffles);
  out += record.batch_rows ? pairs_table(record)
                           : "no pairs of rows: these rows know no batch; --batch-rows says how many a step takes\n";
  out += "\n";
  out += record.has_distances()
             ? spread_table(record)
             : fmt::format("no distances: fewer than two windows of {} rows; --rows and --window-rows change that\n",
                           record.window_rows);
  for (const std::string& advice : mixing_advice(record)) out += "\n" + advice + "\n";
  return out;
}

}  // namespace millrace
