#include "trainer/checkpoint/ledger_check.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/json_again.h"
#include "tests/trainer/loop/train_loop_fixture.h"

namespace millrace {
namespace {

TEST_F(TrainLoopTest, LogsTheLedgerSoFarWhereDetailsAreDueAndAtTheLastStep) {
  run("a", 10);
  std::vector<std::uint64_t> steps;
  for (const nlohmann::json& line : metrics("a")) {
    if (!line.contains("ledger")) continue;
    const std::uint64_t step = steps.emplace_back(line.at("step").get<std::uint64_t>());
    const auto counts = [](std::uint64_t rows) { return nlohmann::json{rows, 14 * rows, 12 * rows}; };
    EXPECT_EQ(line.at("ledger"),
              (nlohmann::json{{"prose", {{"span", counts(3 * step)}}}, {"code", {{"span", counts(step)}}}}));
  }
  EXPECT_EQ(steps, (std::vector<std::uint64_t>{3, 6, 9, 10}));
}

/// The error that stops a run of 6 steps whose row 17, in step 5, is changed; the newest checkpoint is of step 3.
std::string complaint_about(TrainSetup setup, const std::function<void(StreamRow&)>& change) {
  const std::filesystem::path checkpoints = setup.checkpoints;
  TrainLoop loop(std::move(setup));
  Stream stream(0);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&] {
    std::optional<Batch> batch = stream();
    for (StreamRow& row : *batch)
      if (row.number == 17) change(row);
    return batch;
  };
  try {
    loop.run(6, hooks);
  } catch (const std::logic_error& error) {
    std::vector<DamagedCheckpoint> damaged;
    EXPECT_EQ(newest_valid_checkpoint(checkpoints, damaged), checkpoint_path(checkpoints, 3));
    return error.what();
  }
  return "";
}

TEST_F(TrainLoopTest, StopsBeforeItSavesALedgerThatDoesNotAddUp) {
  EXPECT_THAT(complaint_about(setup("lost"), [](StreamRow& row) { row.examples.clear(); }),
              testing::HasSubstr("it has 276 loss tokens, the trainer saw 288"));
  EXPECT_THAT(complaint_about(setup("weights"), [](StreamRow& row) { row.row.loss_weights[5] = 0; }),
              testing::HasSubstr("it has 288 loss tokens, the trainer saw 287"));
  EXPECT_THAT(complaint_about(setup("raw"), [](StreamRow& row) { row.examples[0].raw_tokens = 13; }),
              testing::HasSubstr("it has 251 raw tokens of prose, the stream's position says 252"));
  EXPECT_THAT(complaint_about(setup("corpus"), [](StreamRow& row) { row.examples[0].corpus = 1; }),
              testing::HasSubstr("it has 238 raw tokens of prose, the stream's position says 252"));
  EXPECT_THAT(complaint_about(setup("twice"),
                              [](StreamRow& row) {
                                row.examples.push_back(row.examples[0]);
                                row.examples[1].raw_tokens = row.examples[1].loss_tokens = 0;
                              }),
              testing::HasSubstr("it has 25 examples, the stream's position says 24"));
  EXPECT_EQ(complaint_about(setup("sound"), [](StreamRow&) {}), "");
}

TEST(LedgerCheck, NoticesEveryEntryThatIsLost) {
  TrainState state;
  for (std::uint64_t number = 0; number < 8; ++number) state.add(stream_row(number));
  const TrainedTotals seen{8 * kLength, 8 * 12};
  EXPECT_NO_THROW(check_ledger(state, seen, {"prose", "code"}));
  EXPECT_THROW(check_ledger(state, {7 * kLength, 8 * 12}, {"prose", "code"}), std::logic_error);
  const Json whole = state.ledger;
  ASSERT_EQ(whole.at("entries").size(), 2u);
  for (std::size_t lost = 0; lost < 2; ++lost) {
    Json less = whole;
    less.at("entries").erase(lost);
    state.ledger = from_json_text<Ledger>(json_line(less));
    EXPECT_THROW(check_ledger(state, seen, {"prose", "code"}), std::logic_error) << lost;
  }
}

TEST(LedgerCheck, RefusesAStateThatTellsOfWhatTheRunHasNot) {
  TrainState state;
  for (std::uint64_t number = 0; number < 8; ++number) state.add(stream_row(number));
  EXPECT_NO_THROW(expect_sound(state, {"prose", "code"}, {{"causal"}}, "state.json"));
  EXPECT_THROW(expect_sound(state, {"prose", "code"}, {}, "state.json"), ConfigError);
  EXPECT_THROW(expect_sound(state, {"prose"}, {{"causal"}}, "state.json"), ConfigError);
  EXPECT_THROW(expect_sound(state, {"prose", "code"}, {{}}, "state.json"), ConfigError);
  state.position->corpora[1].raw_tokens += 1;
  try {
    expect_sound(state, {"prose", "code"}, {{"causal"}}, "state.json");
    ADD_FAILURE() << "a position that the ledger does not add up to was taken";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "state.json: the ledger does not add up: it has 28 raw tokens of code, the stream's position says 29");
  }
}

}  // namespace
}  // namespace millrace
