#include "trainer/metrics/step_statistics.h"

#include <algorithm>
#include <cstddef>

namespace millrace {
namespace {

void add(std::vector<std::int64_t>& sum, const std::vector<std::int64_t>& part) {
  sum.resize(part.size());
  for (std::size_t i = 0; i < part.size(); ++i) sum[i] += part[i];
}

void add_share(RouterStatistics& sum, const RouterStatistics& part, double share) {
  sum.aux_loss += share * part.aux_loss;
  sum.z_loss += share * part.z_loss;
  sum.entropy += share * part.entropy;
  sum.dropped += share * part.dropped;
  sum.kept += part.kept;
  sum.gates += part.gates;
  sum.places += part.places;
  sum.routed += part.routed;
  sum.left_behind += part.left_behind;
  sum.load.resize(part.load.size());
  for (std::size_t expert = 0; expert < part.load.size(); ++expert) sum.load[expert] += share * part.load[expert];
  add(sum.pairs_at, part.pairs_at);
  add(sum.dropped_at, part.dropped_at);
}

void add_share(Losses& sum, const Losses& part, double share) {
  sum.total += share * part.total;
  sum.ce += share * part.ce;
  sum.z_loss += share * part.z_loss;
  sum.aux_loss += share * part.aux_loss;
  sum.router_z_loss += share * part.router_z_loss;
  sum.loss_weight += part.loss_weight;
  sum.routers.resize(part.routers.size());
  for (std::size_t layer = 0; layer < part.routers.size(); ++layer)
    add_share(sum.routers[layer], part.routers[layer], share);
}

/// n (n + 1) / 2 of each segment of n positions.
double attention_pairs(const std::vector<std::int32_t>& segment_ids) {
  double pairs = 0;
  double seen = 0;  // Positions of this segment so far.
  for (std::size_t i = 0; i < segment_ids.size(); ++i) {
    seen = i > 0 && segment_ids[i] == segment_ids[i - 1] ? seen + 1 : 1;
    if (segment_ids[i] != 0) pairs += seen;
  }
  return pairs;
}

}  // namespace

void StepStatistics::add(std::span<const StreamRow> rows, const Losses& losses, const TokenScores& scores,
                         double share) {
  add_share(losses_, losses, share);
  std::span<const float> left(scores.cross_entropy);
  std::span<const std::uint8_t> correct(scores.correct);
  for (const StreamRow& row : rows) {
    const std::size_t length = row.row.tokens.size();
    add_row(row, left.first(length), correct.first(length));
    left = left.subspan(length);
    correct = correct.subspan(length);
  }
}

void StepStatistics::add_row(const StreamRow& row, std::span<const float> cross_entropy,
                             std::span<const std::uint8_t> correct) {
  const std::vector<float>& weights = row.row.loss_weights;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    correct_.sum += correct[i] != 0 ? static_cast<double>(weights[i]) : 0;
    correct_.weight += static_cast<double>(weights[i]);
  }
  for (const ExampleOrigin& example : row.examples) {
    WeightedSum sum;
    const std::size_t end = std::size_t{example.first} + example.inputs + example.targets;
    for (std::size_t i = example.first; i < end; ++i) {
      sum.sum += static_cast<double>(weights.at(i)) * static_cast<double>(cross_entropy[i]);
      sum.weight += static_cast<double>(weights[i]);
    }
    for (WeightedSum* owner : {&by_corpus_[corpora_->at(example.corpus)],
                               &by_denoiser_[denoisers_->at(example.phase).at(example.denoiser)]}) {
      owner->sum += sum.sum;
      owner->weight += sum.weight;
    }
    phase_ = example.phase;
  }
  work_.positions += static_cast<double>(weights.size());
  work_.loss_positions += static_cast<double>(std::ranges::count_if(weights, [](float w) { return w != 0; }));
  work_.attention_pairs += attention_pairs(row.row.segment_ids);
}

std::optional<double> StepStatistics::accuracy() const {
  return correct_.weight > 0 ? std::optional(correct_.sum / correct_.weight) : std::nullopt;
}

std::map<std::string, double> StepStatistics::means(const Sums& sums) {
  std::map<std::string, double> means;
  for (const auto& [name, sum] : sums)
    if (sum.weight > 0) means[name] = sum.sum / sum.weight;
  return means;
}

ProductWork StepStatistics::product_work() const {
  ProductWork work = work_;
  for (const RouterStatistics& router : losses_.routers) work.expert_pairs += static_cast<double>(router.kept);
  return work;
}

}  // namespace millrace
