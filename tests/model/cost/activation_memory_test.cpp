#include "model/cost/activation_memory.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>
#include <malloc.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

/// Bytes currently allocated, by all threads.
double allocated_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

/// What a model allocates for its passes, without per-thread memory and oneDNN's.
double bytes_of_passes(const ModelConfig& config, const PassShape& shape) {
  CpuDevice device(shape.precision);
  ParameterMemory memory(device, config, ParameterMemory::Gradients::allocated);
  memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
  memory.round_values();
  const test::RandomBatch batch(shape.rows, shape.length, config.vocab_size, 1);
  double bytes = 0;
  for (int repeat = 0; repeat < 2; ++repeat) {  // Threads and oneDNN keep their first allocations.
    const double before = allocated_bytes();
    Transformer model(device, config, memory.views(), shape.recompute);
    TokenScores scores;
    model.forward_backward(batch.view(), 1, &scores);
    const test::RandomBatch scored(std::max(shape.scored_rows, 1), shape.length, config.vocab_size, 2);
    if (shape.scored_rows > 0) model.score(scored.view());
    bytes = allocated_bytes() - before;
  }
  return bytes;
}

ModelConfig small(CapacityRule rule, int moe_layer_interval) {
  ModelConfig config = model_preset("openmoe-nano");
  config.vocab_size = 300;
  config.capacity_rule = rule;
  config.moe_layer_interval = moe_layer_interval;
  return config;
}

/// Each rule, interval and number of scored rows with each of the others, in both precisions, recomputed or not; with
/// `all` in all combinations.
void expect_what_passes_allocate(bool all) {
  constexpr std::array kRules{CapacityRule::flaxformer, CapacityRule::colossalai, CapacityRule::dropless};
  constexpr std::array kIntervals{1, 2, 9};
  constexpr std::array kScoredRows{0, 1, 3};
  for (std::size_t rule = 0; rule < kRules.size(); ++rule) {
    for (std::size_t interval = 0; interval < kIntervals.size(); ++interval) {
      for (std::size_t scored = 0; scored < kScoredRows.size(); ++scored) {
        if (!all && scored != (rule + interval) % kScoredRows.size()) continue;
        for (const Precision precision : {Precision::f32, Precision::bf16}) {
          for (const Recompute recompute : {Recompute::no, Recompute::yes}) {
            const ModelConfig config = small(kRules[rule], kIntervals[interval]);
            PassShape shape{.rows = 3,
                            .length = 100,
                            .precision = precision,
                            .recompute = recompute,
                            .scored_rows = kScoredRows[scored]};
            shape.threads = 0;  // Their memory is not the model's.
            const auto planned = static_cast<double>(activation_bytes(config, shape));
            EXPECT_NEAR(bytes_of_passes(config, shape) / planned, 1, 0.02)
                << "rule " << static_cast<int>(kRules[rule]) << ", experts every " << kIntervals[interval]
                << ", precision " << static_cast<int>(precision) << ", recompute " << static_cast<int>(recompute)
                << ", scored rows " << kScoredRows[scored];
          }
        }
      }
    }
  }
}

TEST(ActivationMemory, IsWhatPassesAllocate) {
  expect_what_passes_allocate(false);
}
TEST(ActivationMemory, IsWhatPassesAllocateInAllCombinationsLong) {
  expect_what_passes_allocate(true);
}

TEST(ActivationMemory, GrowsWithTheMicroBatchAndShrinksWithRecomputing) {
  const ModelConfig config = model_preset("openmoe-base");
  const auto bytes = [&](int rows, Recompute recompute) {
    return static_cast<double>(activation_bytes(config, {.rows = rows, .length = 2048, .recompute = recompute}));
  };
  EXPECT_NEAR(bytes(16, Recompute::no) / bytes(8, Recompute::no), 2, 0.2);
  EXPECT_LT(bytes(8, Recompute::yes), bytes(8, Recompute::no) / 2);
}

TEST(ActivationMemory, IsALargeNumberWhereNoMachineHoldsIt) {
  ModelConfig config = model_preset("openmoe-34b");
  config.hidden_size = config.num_attention_heads = 1 << 20;
  config.intermediate_size = 1 << 22;
  config.router_group_size = std::numeric_limits<int>::max();
  EXPECT_EQ(activation_bytes(config, {.rows = 1 << 24, .length = 1 << 20, .scored_rows = 1 << 24}), 1ULL << 62);
}

}  // namespace
}  // namespace millrace
