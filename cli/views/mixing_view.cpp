#include "cli/views/mixing_view.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/console/text_table.h"
#include "pipeline/json_text.h"

namespace millrace {
namespace {

std::string pairs_table(const RowMixing& mixing, const std::vector<CorpusMixing>& corpora,
                        const std::vector<std::string>& names) {
  TextTable table({{"corpus", Align::left}, {"examples"}, {"documents"}, {"pairs"}, {"shuffled"}, {"ratio"}});
  for (const CorpusMixing& corpus : corpora) {
    const std::optional<double> ratio = corpus.pairs->ratio();
    table.add({names[corpus.corpus], fmt::format("{}", corpus.examples), fmt::format("{}", corpus.documents),
               fmt::format("{:.0f}", corpus.pairs->found), fmt::format("{:.1f}", corpus.pairs->shuffled),
               ratio ? fmt::format("{:.2f}", *ratio) : "-"});
  }
  return fmt::format("pairs of rows of a batch of {} that share a document\n{}", *mixing.batch_rows(), table.text());
}

std::string spread_table(const RowMixing& mixing, const std::vector<CorpusMixing>& corpora,
                         const std::vector<std::string>& names) {
  TextTable table({{"corpus", Align::left},
                   {"by", Align::left},
                   {"values"},
                   {"windows"},
                   {"from", Align::left},
                   {"mean"},
                   {"shuffled"},
                   {"max"},
                   {"shuffled"}});
  for (const CorpusMixing& corpus : corpora) {
    for (const WindowSpread& spread : corpus.spreads) {
      const auto add = [&](const char* from, const WindowDistances& distances) {
        table.add({names[corpus.corpus], spread.property, fmt::format("{}", spread.values),
                   fmt::format("{}", spread.windows), from, fmt::format("{:.3f}", distances.mean.found),
                   fmt::format("{:.3f}", distances.mean.shuffled), fmt::format("{:.3f}", distances.max.found),
                   fmt::format("{:.3f}", distances.max.shuffled)});
      };
      add("these rows", spread.from_rows);
      if (spread.from_epoch) add("the epoch", *spread.from_epoch);
    }
  }
  return fmt::format("total variation distance of windows of {} rows\n{}", mixing.window_rows(), table.text());
}

Json beside_json(const BesideShuffled& value) {
  return {{"found", value.found}, {"shuffled", value.shuffled}};
}

Json distances_json(const WindowDistances& distances) {
  return {{"mean", beside_json(distances.mean)}, {"max", beside_json(distances.max)}};
}

}  // namespace

std::string mixing_text(const RowMixing& mixing, const std::vector<CorpusMixing>& corpora,
                        const std::vector<std::string>& names) {
  std::string out = fmt::format("\nmixing of {} rows, beside the mean of {} perfect shuffles of their examples\n\n",
                                mixing.rows(), kPerfectShuffles);
  out += mixing.batch_rows() ? pairs_table(mixing, corpora, names)
                             : "no pairs of rows: these rows know no batch; --batch-rows says how many a step takes\n";
  out += "\n";
  if (mixing.rows() / mixing.window_rows() < 2)
    return out + fmt::format("no distances: fewer than two windows of {} rows; --rows and --window-rows change that\n",
                             mixing.window_rows());
  return out + spread_table(mixing, corpora, names);
}

Json mixing_json(const RowMixing& mixing, const std::vector<CorpusMixing>& corpora,
                 const std::vector<std::string>& names) {
  Json list = Json::array();
  for (const CorpusMixing& corpus : corpora) {
    Json pairs;
    if (corpus.pairs) {
      pairs = beside_json(*corpus.pairs);
      pairs["ratio"] = corpus.pairs->ratio();
    }
    Json distances = Json::array();
    for (const WindowSpread& spread : corpus.spreads) {
      Json distance{{"by", spread.property},
                    {"values", spread.values},
                    {"windows", spread.windows},
                    {"from_rows", distances_json(spread.from_rows)}};
      distance["from_epoch"] = spread.from_epoch ? distances_json(*spread.from_epoch) : Json();
      distances.push_back(distance);
    }
    list.push_back({{"name", names[corpus.corpus]},
                    {"examples", corpus.examples},
                    {"documents", corpus.documents},
                    {"pairs", pairs},
                    {"distances", distances}});
  }
  return {{"batch_rows", mixing.batch_rows()},
          {"window_rows", mixing.window_rows()},
          {"shuffles", kPerfectShuffles},
          {"corpora", list}};
}

}  // namespace millrace
