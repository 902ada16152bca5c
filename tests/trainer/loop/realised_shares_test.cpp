#include <gtest/gtest.h>

#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/run/summary.h"

namespace millrace {
namespace {

TEST(RealisedShares, AreComparedWithTheLongestExample) {
  TrainState state;
  for (std::uint64_t number = 0; number < 8; ++number) state.add(stream_row(number));
  StreamConfig stream;
  Phase& phase = stream.phases.emplace_back();
  phase.mix.name = "m";
  phase.mix.corpora.resize(2);
  phase.mix.corpora[0].name = "prose";
  phase.mix.corpora[0].share = 700'000'000;
  phase.mix.corpora[1].name = "code";
  phase.mix.corpora[1].share = 300'000'000;
  const std::vector<PhaseShares> shares = realised_shares(state, stream, {"prose", "code"});
  ASSERT_EQ(shares.size(), 1u);
  EXPECT_EQ(shares[0].longest_example, 14u);
  EXPECT_DOUBLE_EQ(shares[0].corpora[1].realised, 0.25);
  EXPECT_NEAR(shares[0].corpora[1].off_by_tokens, 0.05 * 112, 1e-9);
  EXPECT_TRUE(shares[0].corpora[1].within_one_example);
}

}  // namespace
}  // namespace millrace
