#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/cost/flops.h"
#include "model/transformer/transformer.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

/// Statistics of a training step, accumulated over its micro-batches in their order.
class StepStatistics {
 public:
  /// Names of corpora as StreamRow numbers them, and of denoisers, by phase, likewise. Both must outlive the tally.
  StepStatistics(const std::vector<std::string>& corpora, const std::vector<std::vector<std::string>>& denoisers)
      : corpora_(&corpora), denoisers_(&denoisers) {}

  /// Adds a micro-batch that is `share` of the step: its rows and the model's results for them.
  void add(std::span<const StreamRow> rows, const Losses& losses, const TokenScores& scores, double share);

  /// Means over the micro-batches, of the routers' statistics too; `loss_weight`, counts and `gates` are sums.
  const Losses& losses() const { return losses_; }
  /// Mean cross-entropy of the positions with a loss, by the names of their examples' corpora and denoisers.
  std::map<std::string, double> ce_by_corpus() const { return means(by_corpus_); }
  std::map<std::string, double> ce_by_denoiser() const { return means(by_denoiser_); }
  /// Share of the loss weight at positions whose label had the largest logit; none where nothing has a loss.
  std::optional<double> accuracy() const;
  std::uint32_t phase() const { return phase_; }  ///< Of the last example.
  ProductWork product_work() const;

 private:
  struct WeightedSum {
    double sum = 0;
    double weight = 0;
  };
  using Sums = std::map<std::string, WeightedSum>;
  static std::map<std::string, double> means(const Sums& sums);
  void add_row(const StreamRow& row, std::span<const float> cross_entropy, std::span<const std::uint8_t> correct);

  const std::vector<std::string>* corpora_;
  const std::vector<std::vector<std::string>>* denoisers_;
  Losses losses_;
  Sums by_corpus_, by_denoiser_;
  WeightedSum correct_;
  std::uint32_t phase_ = 0;
  ProductWork work_;  ///< Without expert_pairs.
};

}  // namespace millrace
