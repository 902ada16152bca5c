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

}  // namespace
}  // namespace millrace
