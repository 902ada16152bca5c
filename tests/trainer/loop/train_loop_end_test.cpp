#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/loop/train_loop.h"

namespace millrace {
namespace {

TEST_F(TrainLoopTest, CountsTheRowsOfALastIncompleteBatch) {
  TrainLoop loop(setup("short"));
  Stream stream(0, 11);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&] { return stream(); };
  EXPECT_EQ(loop.run(6, hooks), TrainEnd::stream_ended);
  EXPECT_EQ(loop.state().step, 2u);
  EXPECT_EQ(loop.dropped_rows(), 3u);
  EXPECT_EQ(loop.state().evaluated_at, 2u);
}

/// A row without tokens: the stream's end after the last row, with a reject of its own.
StreamRow end_behind(std::uint64_t rows) {
  StreamRow end;
  end.number = rows;
  StreamPosition after = *stream_row(rows - 1).after;
  after.corpora[1].tail_tokens = 77;
  end.after = std::make_shared<const StreamPosition>(after);
  end.rejects.push_back({{"code.jsonl", 8, 9, 100}, RejectCause::bad_json, "torn"});
  end.reject_corpora.push_back(1);
  return end;
}

TEST_F(TrainLoopTest, TellsWhatLiesBehindTheLastRow) {
  const auto rejects = [&](const char* name) { return text_of(folder_.path() / name / "rejects.jsonl"); };
  for (const bool complete : {false, true}) {
    const char* name = complete ? "complete" : "ended";
    TrainLoop loop(setup(name));
    Stream stream(0, 11);
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] { return stream(); };
    hooks.stream_end = [] { return end_behind(11); };
    EXPECT_EQ(loop.run(complete ? 2 : 6, hooks), complete ? TrainEnd::complete : TrainEnd::stream_ended);
    if (complete) {
      EXPECT_FALSE(loop.end_of_stream()) << "not asked for yet";
      loop.end_stream(hooks);
    }
    EXPECT_EQ(loop.dropped_rows(), 3u);
    EXPECT_EQ(loop.end_of_stream(), *end_behind(11).after);
    EXPECT_EQ(loop.position()->row, 8u) << "a run goes on behind the last row trained on";
    EXPECT_NE(rejects(name).find("\"torn\""), std::string::npos);
  }
}

TEST_F(TrainLoopTest, TellsWhatWasPassedOverBeforeTheDataBroke) {
  TrainLoop loop(setup("broken"));
  Stream stream(0);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&]() -> std::optional<Batch> {
    if (stream.next == 8) throw DataError("too much is lost");
    return stream();
  };
  hooks.stream_end = [] { return end_behind(8); };
  EXPECT_THROW(loop.run(6, hooks), DataError);
  EXPECT_NE(text_of(folder_.path() / "broken" / "rejects.jsonl").find("\"torn\""), std::string::npos);
}

TEST_F(TrainLoopTest, HasEvaluatedWhatItSavesWhereTheStreamEnds) {
  const auto run_to_the_end = [&](TrainLoop& loop, std::uint64_t first) {
    Stream stream(first, 12);
    int evaluations = 0;
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&] { return stream(); };
    hooks.on_evaluation = [&](std::uint64_t, const Evaluation&) { ++evaluations; };
    EXPECT_EQ(loop.run(6, hooks), TrainEnd::stream_ended);
    return evaluations;
  };
  TrainSetup three_steps = setup("ended");
  three_steps.train.eval_every_steps = 0;
  TrainLoop loop(three_steps);
  EXPECT_EQ(run_to_the_end(loop, 0), 4) << "before and after, with each objective";
  TrainLoop again(three_steps);
  again.resume();
  EXPECT_EQ(run_to_the_end(again, 12), 0);
}

TEST_F(TrainLoopTest, SavesTheStepBeforeBadDataEndsTheRun) {
  TrainLoop loop(setup("a"));
  Stream stream(0);
  TrainLoop::Hooks hooks;
  hooks.next_batch = [&]() -> std::optional<Batch> {
    if (loop.state().step == 2) throw DataError("a torn line");
    return stream();
  };
  EXPECT_THROW(loop.run(6, hooks), DataError);
  EXPECT_EQ(checkpoint_steps(folder_.path() / "a" / "checkpoints"), std::vector<std::uint64_t>{2});
}

}  // namespace
}  // namespace millrace
