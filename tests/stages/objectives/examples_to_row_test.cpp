#include "stages/objectives/examples_to_row.h"

#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using Ids = std::vector<TokenId>;
using Numbers = std::vector<std::int32_t>;

TEST(ExamplesToRow, ShiftsLabelsRightAndWeighsTargetsOnly) {
  const Row row = examples_to_row(std::vector<Example>{{{7, 8, 5, 1}, {3, 9, 1}, {}, 0}}, 0, 8);
  EXPECT_EQ(row.labels, (Ids{7, 8, 5, 1, 3, 9, 1, 0}));
  EXPECT_EQ(row.tokens, (Ids{0, 7, 8, 5, 1, 3, 9, 0}));
  EXPECT_EQ(row.loss_weights, (std::vector<float>{0, 0, 0, 0, 1, 1, 1, 0}));
  EXPECT_EQ(row.segment_ids, (Numbers{1, 1, 1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(row.positions, (Numbers{0, 1, 2, 3, 4, 5, 6, 7}));
}

/// The example of SeqIO's PrefixLMFeatureConverter, except that positions are those in the row, for RoPE.
TEST(ExamplesToRow, PacksAsSeqIosWorkedExample) {
  const Row row =
      examples_to_row(std::vector<Example>{{{7, 8, 5, 1}, {3, 9, 1}, {}, 0}, {{8, 4, 9, 3, 1}, {4, 1}, {}, 0}}, 0, 15);
  EXPECT_EQ(row.labels, (Ids{7, 8, 5, 1, 3, 9, 1, 8, 4, 9, 3, 1, 4, 1, 0}));
  EXPECT_EQ(row.tokens, (Ids{0, 7, 8, 5, 1, 3, 9, 0, 8, 4, 9, 3, 1, 4, 0}));
  EXPECT_EQ(row.loss_weights, (std::vector<float>{0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0}));
  EXPECT_EQ(row.segment_ids, (Numbers{1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 0}));
  EXPECT_EQ(row.positions, (Numbers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}));
}

TEST(ExamplesToRow, GivesEachDocumentASegmentAndPositionsOfItsOwnWhereAttentionStaysWithinIt) {
  const std::vector<Example> examples{{{}, {5, 6, 1, 7, 8, 1}, {3}, 0}, {{}, {9, 9, 1}, {}, 0}};
  const Row row = examples_to_row(examples, 0, 11, AttentionReach::document);
  EXPECT_EQ(row.labels, (Ids{5, 6, 1, 7, 8, 1, 9, 9, 1, 0, 0}));
  EXPECT_EQ(row.tokens, (Ids{0, 5, 6, 0, 7, 8, 0, 9, 9, 0, 0}));
  EXPECT_EQ(row.loss_weights, (std::vector<float>{1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0}));
  EXPECT_EQ(row.segment_ids, (Numbers{1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0}));
  EXPECT_EQ(row.positions, (Numbers{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1}));
  const Row packed = examples_to_row(examples, 0, 11);
  EXPECT_EQ(packed.segment_ids, (Numbers{1, 1, 1, 1, 1, 1, 2, 2, 2, 0, 0}));
  EXPECT_EQ(packed.tokens, (Ids{0, 5, 6, 1, 7, 8, 0, 9, 9, 0, 0}));
}

TEST(ExamplesToRow, RefusesMoreThanARowHolds) {
  EXPECT_THROW(examples_to_row(std::vector<Example>{{{2, 1}, {3, 1}, {}, 0}}, 0, 3), std::logic_error);
}

}  // namespace
}  // namespace millrace
