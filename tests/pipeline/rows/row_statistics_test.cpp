#include "pipeline/rows/row_statistics.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(StreamStatistics, CountRawTokensWithoutSeparators) {
  StreamConfig config;
  config.phases.resize(1);
  config.phases[0].objective.denoisers = {{"causal", DenoiserKind::causal, 1.0, 0, 0, ""}};
  StreamRow row;
  row.row.tokens = {0, 5, 6, 1, 7};
  row.row.labels = {5, 6, 1, 7, 1};
  row.row.loss_weights.assign(5, 1);
  row.row.segment_ids.assign(5, 1);
  ExampleOrigin origin;
  origin.raw_tokens = 3;
  origin.segment_tokens = 4;  // With the separator.
  origin.targets = 5;
  row.examples = {origin};
  StreamStatistics statistics(config, 100);
  statistics.add(row);
  const DenoiserStatistics& found = statistics.phases().at(0).denoisers.at(0);
  EXPECT_EQ(found.raw_tokens, 3U);
  EXPECT_EQ(found.segment_tokens, 4U);
  EXPECT_EQ(statistics.phases().at(0).raw_tokens, found.raw_tokens);
}

}  // namespace
}  // namespace millrace
