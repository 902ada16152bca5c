// Tokens to rows, alone: span corruption, the row's arrays, and nothing else, on one core. Beside it, in the same run,
// memcpy of arrays of the same size: no row can be made faster than it is written.
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

#include "stages/objectives/examples_to_row.h"
#include "stages/objectives/segment_to_example.h"

namespace millrace {
namespace {

constexpr int kRowLength = 2048;
constexpr SpecialIds kIds{0, 1, 256'299, 300};

Denoiser span(double mask_ratio, double mean_span) {
  return {"span", DenoiserKind::span, 1, mean_span, mask_ratio, ""};
}

Segment segment_of(int length) {
  Segment segment;
  for (int i = 0; i < length; ++i) segment.tokens.push_back(static_cast<TokenId>(2 + i * 2654435761U % 250'000));
  return segment;
}

/// Raw tokens a second, and positions a second beside them.
void make_rows(benchmark::State& state, const SegmentToExample& denoise) {
  const Segment segment = segment_of(denoise.raw_length());
  std::uint64_t item = 0;
  for (auto _ : state) {
    ItemRng rng(1, Purpose::span_lengths, item++);
    const Example example = denoise(segment, rng);
    Row row = examples_to_row({&example, 1}, kIds.pad, kRowLength);
    benchmark::DoNotOptimize(row.tokens.data());
    benchmark::ClobberMemory();
  }
  const auto rows = static_cast<double>(state.iterations());
  state.counters["raw_tokens/s"] = benchmark::Counter(rows * denoise.raw_length(), benchmark::Counter::kIsRate);
  state.counters["positions/s"] = benchmark::Counter(rows * kRowLength, benchmark::Counter::kIsRate);
}

void SpanCorruption(benchmark::State& state, double mask_ratio, double mean_span) {
  make_rows(state, SegmentToExample(span(mask_ratio, mean_span), std::vector<TokenId>(5, 7), kIds, kRowLength));
}
BENCHMARK_CAPTURE(SpanCorruption, span_3_15, 0.15, 3);
BENCHMARK_CAPTURE(SpanCorruption, span_8_15, 0.15, 8);
BENCHMARK_CAPTURE(SpanCorruption, span_3_50, 0.5, 3);
BENCHMARK_CAPTURE(SpanCorruption, span_8_50, 0.5, 8);
BENCHMARK_CAPTURE(SpanCorruption, span_64_50, 0.5, 64);

void PackedSpanCorruption(benchmark::State& state, double mask_ratio, double mean_span) {
  make_rows(state, SegmentToExample(span(mask_ratio, mean_span), std::vector<TokenId>(5, 7), kIds,
                                    FeatureLengths{kRowLength / 2, kRowLength / 2}));
}
BENCHMARK_CAPTURE(PackedSpanCorruption, span_3_15, 0.15, 3);
BENCHMARK_CAPTURE(PackedSpanCorruption, span_3_50, 0.5, 3);

void Prefix(benchmark::State& state) {
  make_rows(state, SegmentToExample({"prefix", DenoiserKind::prefix, 1, 0, 0, ""}, std::vector<TokenId>(6, 7), kIds,
                                    kRowLength));
}
BENCHMARK(Prefix);

void Causal(benchmark::State& state) {
  make_rows(state, SegmentToExample({"causal", DenoiserKind::causal, 1, 0, 0, ""}, {}, kIds, kRowLength));
}
BENCHMARK(Causal);

/// A row's five arrays, each in memory of its own, written from others that lie in the cache.
void Memcpy(benchmark::State& state) {
  constexpr std::size_t kArrays = 5;
  const std::vector<TokenId> from(kRowLength, 7);
  for (auto _ : state) {
    for (std::size_t array = 0; array < kArrays; ++array) {
      std::vector<TokenId> to;
      to.reserve(kRowLength);
      std::memcpy(to.data(), from.data(), kRowLength * sizeof(TokenId));
      benchmark::DoNotOptimize(to.data());
      benchmark::ClobberMemory();
    }
  }
  const auto rows = static_cast<double>(state.iterations());
  state.counters["positions/s"] = benchmark::Counter(rows * kRowLength, benchmark::Counter::kIsRate);
}
BENCHMARK(Memcpy);

}  // namespace
}  // namespace millrace

BENCHMARK_MAIN();
