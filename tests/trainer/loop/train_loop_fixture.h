#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "stages/philox.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/file_text.h"
#include "tests/trainer/tiny_model.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/loop/train_loop.h"
#include "trainer/run/compute_threads.h"

namespace millrace {

inline constexpr int kLength = 16;

/// Row `number` of a stream of two corpora; depends on `number` only.
inline StreamRow stream_row(std::uint64_t number) {
  StreamRow row;
  row.number = number;
  ItemRng rng(1, Purpose::generation, number);
  std::int32_t last = 0;
  for (int i = 0; i < kLength; ++i) {
    const bool padding = i >= kLength - 2;
    const auto next = padding ? 0 : static_cast<std::int32_t>(2 + (last * 3 + static_cast<int>(rng.below(3))) % 40);
    row.row.tokens.push_back(padding ? 0 : last);
    row.row.labels.push_back(next);
    row.row.loss_weights.push_back(padding || i < 2 ? 0 : 1);
    row.row.segment_ids.push_back(padding ? 0 : 1);
    row.row.positions.push_back(i);
    last = next;
  }
  ExampleOrigin origin;
  origin.example = number;
  origin.corpus = number % 4 == 3 ? 1 : 0;
  origin.raw_tokens = 14;
  origin.loss_tokens = 12;
  origin.documents.push_back({.shard = 0, .record = number, .from = 0, .to = 14});
  origin.inputs = 2;
  origin.targets = 12;
  row.examples.push_back(origin);
  StreamPosition after;
  after.row = after.example = number + 1;
  const std::uint64_t rows_of_code = after.row / 4;
  after.corpora.resize(2);
  after.corpora[0].corpus = "prose";
  after.corpora[0].raw_tokens = 14 * (after.row - rows_of_code);
  after.corpora[1].corpus = "code";
  after.corpora[1].raw_tokens = 14 * rows_of_code;
  row.after = std::make_shared<const StreamPosition>(after);
  return row;
}

struct Stream {
  explicit Stream(std::uint64_t first, std::uint64_t count = 1000) : next(first), end(count) {}

  std::optional<Batch> operator()() {
    Batch batch;
    while (batch.size() < 4 && next < end) batch.push_back(stream_row(next++));
    if (batch.empty()) return std::nullopt;
    return batch;
  }
  std::uint64_t next, end;
};

class TrainLoopTest : public testing::Test {
 protected:
  TrainLoopTest() {
    spdlog::set_level(spdlog::level::off);
    set_compute_threads(0);
  }
  ~TrainLoopTest() override { set_compute_threads(0); }

  TrainSetup setup(const std::string& name) {
    TrainSetup setup;
    setup.model = tiny_model();
    setup.model.dropout_rate = dropout_rate_;
    setup.train.precision = precision_;
    setup.train.batch_rows = 4;
    setup.train.micro_rows = 2;
    setup.train.eval_every_steps = 4;
    setup.train.checkpoint_every_steps = 3;
    setup.train.keep_last = 2;
    setup.train.details_every_steps = 3;
    setup.sequence_length = kLength;
    setup.seed = 5;
    setup.corpora = {"prose", "code"};
    setup.shards = {{"prose-1.jsonl", "prose-2.jsonl"}, {"code.jsonl"}};
    setup.denoisers = {{"span"}};
    setup.held_out = {{"prose", {4, 5, 6, 7, 1}, 1, 20}, {"code", {8, 9, 1}, 1, 8}};
    setup.objective_rows = [](std::uint32_t) {
      return ObjectiveRows{"ul2", {{"prose", {stream_row(2000).row, stream_row(2001).row}}, {"code", {}}}};
    };
    setup.folder = folder_.path() / name;
    setup.checkpoints = setup.folder / "checkpoints";
    std::filesystem::create_directories(setup.folder);
    return setup;
  }

  /// Trains `name` until `total` steps, resuming from its checkpoints; `steps`: stops without saving (as if killed)
  /// after so many.
  void run(const std::string& name, std::uint64_t total, std::uint64_t steps = 1000) {
    TrainLoop loop(setup(name));
    loop.resume();
    Stream stream(loop.position() ? loop.position()->row : 0);
    TrainLoop::Hooks hooks;
    hooks.next_batch = [&]() -> std::optional<Batch> {
      if (steps-- == 0) throw std::runtime_error("killed");
      return stream();
    };
    try {
      loop.run(total, hooks);
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "killed");
    }
  }

  /// metrics.jsonl without what depends on the clock.
  std::vector<nlohmann::json> metrics(const std::string& name) {
    std::vector<nlohmann::json> lines;
    std::istringstream text(text_of(folder_.path() / name / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) {
      lines.push_back(nlohmann::json::parse(line));
      for (const char* key : {"tokens_per_s", "step_s", "data_wait_s", "memory_bytes"}) lines.back().erase(key);
    }
    return lines;
  }
  /// The lines of training steps; the first is step 1's.
  std::vector<nlohmann::json> step_metrics(const std::string& name) {
    std::vector<nlohmann::json> lines = metrics(name);
    std::erase_if(lines, [](const nlohmann::json& line) { return line.contains("eval"); });
    return lines;
  }
  std::string weights(const std::string& name, std::uint64_t step) {
    return text_of(checkpoint_path(folder_.path() / name / "checkpoints", step) / "model.safetensors");
  }

  TemporaryFolder folder_;
  std::string precision_ = "f32";
  double dropout_rate_ = 0;
};

}  // namespace millrace
