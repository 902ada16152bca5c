#include "model/pass/batch_layout.h"

#include <vector>

#include <gtest/gtest.h>

#include "model/cpu/cpu_device.h"
#include "model/pass/batch_on_device.h"

namespace millrace {
namespace {

BatchLayout layout_of(const std::vector<std::int32_t>& tokens, int rows, const std::int32_t* segments = nullptr) {
  TokenBatch batch;
  batch.rows = rows;
  batch.length = static_cast<int>(tokens.size()) / rows;
  batch.tokens = tokens.data();
  batch.segment_ids = segments;
  BatchLayout layout;
  describe(batch, layout);
  return layout;
}

TEST(BatchLayout, CallsOnlyTrailingZerosPadding) {
  EXPECT_EQ(layout_of({0, 3, 9, 0, 4, 8, 0, 0}, 1).real, (std::vector<std::uint8_t>{1, 1, 1, 1, 1, 1, 0, 0}));
}

TEST(BatchLayout, LooksAtEachRowAlone) {
  EXPECT_EQ(layout_of({0, 3, 0, 0, 5, 6}, 2).real, (std::vector<std::uint8_t>{1, 1, 0, 1, 1, 1}));
}

TEST(BatchLayout, KeepsAttentionWithinASegment) {
  const std::vector<std::int32_t> segments{1, 1, 2, 2, 2, 0};
  const BatchLayout layout = layout_of({0, 5, 0, 6, 7, 0}, 1, segments.data());
  EXPECT_EQ(layout.first_key, (std::vector<std::int32_t>{0, 0, 2, 2, 2, 6}));
  EXPECT_EQ(layout.position, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5}));
}

TEST(BatchLayout, CallsTheBosOfASegmentOfOnePositionReal) {
  const std::vector<std::int32_t> segments{1, 1, 2, 0};
  EXPECT_EQ(layout_of({0, 5, 0, 0}, 1, segments.data()).real, (std::vector<std::uint8_t>{1, 1, 1, 0}));
}

TEST(BatchOnDevice, TellsRowsOfOneSegmentFromOthers) {
  CpuDevice device(Precision::f32);
  const ModelConfig config = model_preset("openmoe-micro");
  BatchOnDevice batch(device, config);
  const std::vector<std::int32_t> tokens{0, 5, 6, 7, 0, 5, 6, 7};
  const auto is_causal = [&](const std::vector<std::int32_t>& segments) {
    TokenBatch rows{2, 4, tokens.data()};
    rows.segment_ids = segments.empty() ? nullptr : segments.data();
    return batch.load(rows, Mode::train, nullptr).is_causal;
  };
  EXPECT_TRUE(is_causal({}));
  EXPECT_TRUE(is_causal({1, 1, 1, 1, 2, 2, 2, 2}));
  EXPECT_FALSE(is_causal({1, 1, 1, 1, 1, 1, 2, 2}));
  EXPECT_FALSE(is_causal({1, 1, 1, 0, 1, 1, 1, 1})) << "padding sees nothing";
  EXPECT_TRUE(batch.load_more(3, 7, nullptr).is_causal);
}

}  // namespace
}  // namespace millrace
