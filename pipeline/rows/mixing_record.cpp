#include "pipeline/rows/mixing_record.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {

void to_json(Json& json, const BesideShuffled& value) {
  json = {{"found", value.found}, {"shuffled", value.shuffled}};
}

void from_json(const JsonValue& json, BesideShuffled& value) {
  value = {json.get<double>("found"), json.get<double>("shuffled")};
}

void to_json(Json& json, const WindowDistances& distances) {
  json = {{"mean", distances.mean}, {"max", distances.max}};
}

void from_json(const JsonValue& json, WindowDistances& distances) {
  distances = {json.get<BesideShuffled>("mean"), json.get<BesideShuffled>("max")};
}

namespace {

constexpr double kFar = 2;
constexpr double kLeastDifference = 0.02;

Json corpus_json(const NamedMixing& corpus) {
  Json pairs;
  if (corpus.mixing.pairs) {
    pairs = *corpus.mixing.pairs;
    pairs["ratio"] = corpus.mixing.pairs->ratio();
  }
  Json distances = Json::array();
  for (const WindowSpread& spread : corpus.mixing.spreads) {
    Json windows = Json::array();
    for (const RowWindow& window : spread.windows)
      windows.push_back(
          {{"end_row", window.end_row}, {"from_rows", window.from_rows}, {"from_epoch", window.from_epoch}});
    distances.push_back({{"by", spread.property},
                         {"values", spread.values},
                         {"from_rows", spread.from_rows},
                         {"from_epoch", spread.from_epoch},
                         {"windows", windows}});
  }
  return {{"name", corpus.name},
          {"examples", corpus.mixing.examples},
          {"documents", corpus.mixing.documents},
          {"pairs", pairs},
          {"distances", distances}};
}

WindowSpread read_spread(const JsonValue& json) {
  WindowSpread spread{json.get<std::string>("by"),
                      json.get<std::uint64_t>("values"),
                      {},
                      json.get<WindowDistances>("from_rows"),
                      json.get_or_null<WindowDistances>("from_epoch")};
  for (const JsonValue& window : json.at("windows").elements())
    spread.windows.push_back({window.get<std::uint64_t>("end_row"), window.get<BesideShuffled>("from_rows"),
                              window.get_or_null<BesideShuffled>("from_epoch")});
  return spread;
}

bool has_many_pairs(const BesideShuffled& pairs) {
  return pairs.found > kFar * pairs.shuffled + 3 * std::sqrt(kFar * std::max(pairs.shuffled, 1.0));
}

bool is_far(const BesideShuffled& distance) {
  return distance.found > kFar * distance.shuffled && distance.found > distance.shuffled + kLeastDifference;
}

std::string times(const BesideShuffled& value) {
  const std::optional<double> ratio = value.ratio();
  return ratio ? fmt::format(" ({:.1f} times)", *ratio) : "";
}

}  // namespace

void to_json(Json& json, const MixingRecord& record) {
  Json corpora = Json::array();
  for (const NamedMixing& corpus : record.corpora) corpora.push_back(corpus_json(corpus));
  json = {{"first_row", record.first_row},     {"rows", record.rows},         {"batch_rows", record.batch_rows},
          {"window_rows", record.window_rows}, {"shuffles", record.shuffles}, {"corpora", corpora}};
}

void from_json(const JsonValue& json, MixingRecord& record) {
  record.first_row = json.get<std::uint64_t>("first_row");
  record.rows = json.get<std::uint64_t>("rows");
  record.batch_rows = json.get_or_null<std::uint64_t>("batch_rows");
  record.window_rows = json.get<std::uint64_t>("window_rows");
  record.shuffles = json.get<std::uint64_t>("shuffles");
  for (const JsonValue& corpus : json.at("corpora").elements()) {
    NamedMixing named{corpus.get<std::string>("name"),
                      {corpus.get<std::uint64_t>("examples"),
                       corpus.get<std::uint64_t>("documents"),
                       corpus.get_or_null<BesideShuffled>("pairs"),
                       {}}};
    for (const JsonValue& spread : corpus.at("distances").elements())
      named.mixing.spreads.push_back(read_spread(spread));
    record.corpora.push_back(std::move(named));
  }
}

MixingRecord measure_all(const RowMixing& mixing, const std::vector<std::string>& names,
                         const PropertiesOf& properties_of) {
  MixingRecord record{mixing.first_row(),   mixing.rows(),    mixing.batch_rows(),
                      mixing.window_rows(), kPerfectShuffles, {}};
  for (const std::uint32_t corpus : mixing.corpora())
    record.corpora.push_back({names[corpus], mixing.measure(corpus, properties_of(corpus))});
  return record;
}

std::vector<std::string> mixing_advice(const MixingRecord& record) {
  std::vector<std::string> advice;
  for (const NamedMixing& corpus : record.corpora) {
    const CorpusMixing& mixing = corpus.mixing;
    if (mixing.pairs && has_many_pairs(*mixing.pairs))
      advice.push_back(
          fmt::format("{}: {:.0f} pairs of rows share a document, {:.1f} in a perfect shuffle{}: raise "
                      "shuffle_tokens in [data], so that a window holds more documents",
                      corpus.name, mixing.pairs->found, mixing.pairs->shuffled, times(*mixing.pairs)));
    if (!record.has_distances()) continue;
    for (const WindowSpread& spread : mixing.spreads) {
      const auto say_if_far = [&](const WindowDistances& distances, const char* whole) {
        if (!is_far(distances.mean)) return false;
        advice.push_back(fmt::format(
            "{}: windows are {:.3f} from {} by {}, {:.3f} in a perfect shuffle{}: raise shuffle_memory in [data], "
            "and shuffle_shards if it is set, so that more shards are read side by side; and shuffle_tokens",
            corpus.name, distances.mean.found, whole, spread.property, distances.mean.shuffled, times(distances.mean)));
        return true;
      };
      if (!say_if_far(spread.from_rows, "all these rows") && spread.from_epoch)
        say_if_far(*spread.from_epoch, "the epoch");
    }
  }
  return advice;
}

}  // namespace millrace
