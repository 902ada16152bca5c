#include "pipeline/reading/lanes.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "stages/philox.h"
#include "stages/shards/shard_shape.h"

namespace millrace {
namespace {

/// Buffers of an open shard, whatever it holds.
constexpr std::uint64_t kReaderBytes = 1 << 20;

/// Of a corpus with many shards, some stand for all.
constexpr std::size_t kShardsLookedAt = 64;

constexpr std::uint64_t kLeastBytesAToken = 2;
constexpr std::uint64_t kCommonBytesAToken = 4;

ReadingPlan plan_of(const StreamConfig& config, const RunCorpus& corpus) {
  ReadingPlan plan;
  std::uint64_t window = 0;
  std::uint64_t frame = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t seen_bytes = 0;
  std::uint64_t seen_content = 0;
  const std::size_t every = (corpus.shards.size() + kShardsLookedAt - 1) / kShardsLookedAt;
  for (std::size_t i = 0; i < corpus.shards.size(); ++i) {
    const std::string path = shard_path(config, corpus.shards[i]);
    std::error_code unreadable;
    const std::uintmax_t size = std::filesystem::file_size(path, unreadable);
    plan.shard_bytes.push_back(unreadable ? 0 : size);
    file_bytes += plan.shard_bytes.back();
    if (i % every != 0) continue;
    const ShardShape shape = shape_of(path);
    seen_bytes += shape.file_bytes;
    seen_content += shape.content_bytes();
    window = std::max(window, shape.window);
    frame = std::max(frame, shape.frame);
  }
  if (seen_bytes > 0)
    plan.content_bytes = static_cast<std::uint64_t>(static_cast<double>(seen_content) /
                                                    static_cast<double>(seen_bytes) * static_cast<double>(file_bytes));
  plan.lane_bytes = config.shuffle_bytes + window + kReaderBytes;
  plan.lane_replay_bytes = config.shuffle_bytes + frame;
  plan.window = std::min(longest_window(config), plan.content_bytes / kLeastBytesAToken);
  return plan;
}

/// A budget that corpora share one after another.
class Budget {
 public:
  explicit Budget(std::uint64_t bytes) : left_(bytes) {}
  /// How many lanes of so many bytes the next of `sharers` can have.
  std::uint64_t lanes(std::size_t sharers, std::uint64_t bytes) const { return left_ / sharers / bytes; }
  void spend(std::uint64_t bytes) { left_ -= std::min(left_, bytes); }

 private:
  std::uint64_t left_;
};

}  // namespace

std::uint64_t longest_window(const StreamConfig& config) {
  return config.shuffle_tokens + config.shuffle_tokens / 2;
}

std::uint64_t ReadingPlan::memory_bytes() const {
  constexpr std::uint64_t kWindows = 2;  // The one that examples are made of, and the one that is read.
  return lanes * lane_bytes + kWindows * window * sizeof(TokenId);
}

std::uint64_t ReadingPlan::replay_bytes() const {
  return lanes * lane_replay_bytes + window * kCommonBytesAToken;
}

std::vector<ReadingPlan> reading_plans(const StreamConfig& config, const std::vector<RunCorpus>& corpora) {
  std::vector<ReadingPlan> plans;
  for (const RunCorpus& corpus : corpora) plans.push_back(plan_of(config, corpus));
  Budget memory(config.shuffle_memory);
  Budget replay(config.replay_bytes);
  std::set<std::size_t> planned;
  for (const Phase& phase : config.phases) {
    std::vector<std::size_t> first_used;
    for (const std::size_t corpus : indices_in(corpora, phase.mix))
      if (planned.insert(corpus).second) first_used.push_back(corpus);
    std::ranges::stable_sort(first_used, {}, [&](std::size_t corpus) { return corpora[corpus].shards.size(); });
    std::size_t sharers = first_used.size();
    for (const std::size_t corpus : first_used) {
      ReadingPlan& plan = plans[corpus];
      std::uint64_t most = std::max<std::size_t>(corpora[corpus].shards.size(), 1);
      if (config.shuffle_shards > 0) most = std::min(most, config.shuffle_shards);
      const std::uint64_t fitting =
          std::min(memory.lanes(sharers, plan.lane_bytes), replay.lanes(sharers, plan.lane_replay_bytes));
      plan.lanes = std::clamp<std::uint64_t>(fitting, 1, most);
      memory.spend(plan.lanes * plan.lane_bytes);
      replay.spend(plan.lanes * plan.lane_replay_bytes);
      --sharers;
    }
  }
  return plans;
}

std::size_t open_shards(const StreamConfig& config, const std::vector<RunCorpus>& corpora) {
  std::size_t open = 0;
  for (const ReadingPlan& plan : reading_plans(config, corpora)) open += plan.lanes;
  return open;
}

std::vector<std::vector<std::uint32_t>> lanes_of_epoch(const ReadingPlan& plan, std::uint64_t seed,
                                                       std::uint64_t corpus_id, std::uint64_t epoch) {
  ItemRng rng(seed, Purpose::shard_order, item_of({corpus_id, epoch}));
  std::vector<std::vector<std::uint32_t>> lanes(plan.lanes);
  std::vector<std::uint64_t> bytes(plan.lanes, 0);
  for (const std::uint32_t shard : rng.permutation(static_cast<std::uint32_t>(plan.shard_bytes.size()))) {
    const auto lane = static_cast<std::size_t>(std::ranges::min_element(bytes) - bytes.begin());
    lanes[lane].push_back(shard);
    bytes[lane] += std::max<std::uint64_t>(plan.shard_bytes[shard], 1);
  }
  return lanes;
}

}  // namespace millrace
