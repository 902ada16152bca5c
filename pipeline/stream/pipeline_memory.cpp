#include "pipeline/stream/pipeline_memory.h"

#include <algorithm>
#include <cmath>

#include "pipeline/reading/lanes.h"
#include "stages/tokenizer/unigram_encoder.h"

namespace millrace {

std::uint64_t pipeline_bytes(const StreamConfig& config, const std::vector<RunCorpus>& corpora,
                             const DataPipeline::Options& options) {
  constexpr std::uint64_t kTextAndIds = 2;  // Some four bytes of text a token, four bytes an id.
  constexpr std::uint64_t kPosition = 5 * sizeof(float) + 2 * sizeof(TokenId);  // Row, raw tokens and their origins.
  std::uint64_t read = 0;
  for (const ReadingPlan& plan : reading_plans(config, corpora))
    read += plan.memory_bytes() + options.bytes_in_flight * kTextAndIds;
  const std::uint64_t batches = options.queued_batches + 2;
  const std::uint64_t rows = batches * static_cast<std::uint64_t>(options.batch_rows) *
                             static_cast<std::uint64_t>(config.sequence_length) * kPosition;
  // A thread's words: new ones become ever rarer in running text (Heaps' law).
  constexpr double kWordBytes = 64;
  constexpr double kHeaps = 30;
  constexpr double kHeapsExponent = 0.6;
  const std::uint64_t ahead = corpora.size() * options.bytes_in_flight / 4;
  const auto tokens = static_cast<double>(config.phases.back().until + ahead);
  const double words = kWordBytes * kHeaps * std::pow(tokens, kHeapsExponent);
  const auto cache = static_cast<std::uint64_t>(std::min(words, static_cast<double>(UnigramEncoder::kCacheBytes)));
  return read + static_cast<std::uint64_t>(options.threads) * cache + rows;
}

}  // namespace millrace
