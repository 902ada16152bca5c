#include "trainer/metrics/step_metrics.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>

#include "pipeline/json_text.h"

namespace millrace {
namespace {

/// Each statistic as a list over the MoE layers.
Json router_json(const std::vector<RouterStatistics>& routers) {
  const auto of_layers = [&routers](auto statistic) {
    Json list = Json::array();
    for (const RouterStatistics& router : routers) list.push_back(std::invoke(statistic, router));
    return list;
  };
  return {{"load_balance", of_layers(&RouterStatistics::aux_loss)},
          {"z", of_layers(&RouterStatistics::z_loss)},
          {"entropy", of_layers(&RouterStatistics::entropy)},
          {"dropped", of_layers(&RouterStatistics::dropped)},
          {"left_behind", of_layers(&RouterStatistics::share_left_behind)},
          {"expert_usage", of_layers(&RouterStatistics::expert_usage)},
          {"confidence", of_layers(&RouterStatistics::confidence)}};
}

Json loads(const std::vector<RouterStatistics>& routers) {
  Json layers = Json::array();
  for (const RouterStatistics& router : routers) layers.push_back(router.load);
  return layers;
}

/// Divides a row into at most 32 parts whose lengths differ by at most one position. Per part: the share of pairs that
/// was dropped, mean over the layers; null: no pair.
Json dropped_by_position(const std::vector<RouterStatistics>& routers) {
  if (routers.empty()) return Json::array();
  const std::size_t length = routers.front().pairs_at.size();
  const std::size_t parts = std::min<std::size_t>(32, length);
  std::vector<std::optional<double>> shares(parts);
  for (const RouterStatistics& router : routers) {
    std::vector<double> pairs(parts), dropped(parts);
    for (std::size_t at = 0; at < length; ++at) {
      pairs[at * parts / length] += static_cast<double>(router.pairs_at[at]);
      dropped[at * parts / length] += static_cast<double>(router.dropped_at[at]);
    }
    for (std::size_t part = 0; part < parts; ++part)
      if (pairs[part] > 0)
        shares[part] = shares[part].value_or(0) + dropped[part] / pairs[part] / static_cast<double>(routers.size());
  }
  return shares;
}

}  // namespace

LedgerCounts ledger_counts(const Ledger& ledger, const std::vector<std::string>& corpora,
                           const std::vector<std::vector<std::string>>& denoisers) {
  LedgerCounts counts;
  for (const auto& [key, entry] : ledger.entries()) {
    auto& [examples, raw_tokens, loss_tokens] =
        counts[corpora.at(key.corpus)][denoisers.at(key.phase).at(key.denoiser)];
    examples += entry.examples;
    raw_tokens += entry.raw_tokens;
    loss_tokens += entry.loss_tokens;
  }
  return counts;
}

namespace {

/// {"compute_s": [least, median, most], "slowest": RANK}
Json ranks_json(const std::vector<double>& seconds) {
  std::vector<double> sorted(seconds);
  std::ranges::sort(sorted);
  const auto slowest = std::ranges::max_element(seconds) - seconds.begin();
  return {{"compute_s", {sorted.front(), sorted[sorted.size() / 2], sorted.back()}}, {"slowest", slowest}};
}

}  // namespace

Json training_line(const StepMetrics& step) {
  Json line{{"step", step.step},
            {"phase", step.phase},
            {"tokens", step.positions},
            {"raw_tokens", step.raw_tokens},
            {"loss_tokens", step.loss_tokens},
            {"loss", step.losses.total},
            {"ce", step.losses.ce},
            {"aux_loss", step.losses.aux_loss},
            {"router_z_loss", step.losses.router_z_loss},
            {"z_loss", step.losses.z_loss},
            {"accuracy", step.accuracy},
            {"ce_by_corpus", step.ce_by_corpus},
            {"ce_by_denoiser", step.ce_by_denoiser},
            {"router", router_json(step.losses.routers)},
            {"lr", step.learning_rate},
            {"grad_norm", step.gradient_norm},
            {"param_norm", step.norms.values},
            {"update_norm", step.norms.change},
            {"tokens_per_s", step.positions_per_second()},
            {"step_s", step.seconds},
            {"data_wait_s", step.data_wait},
            {"memory_bytes", step.memory}};
  if (!step.rank_seconds.empty()) line["ranks"] = ranks_json(step.rank_seconds);
  if (!step.exchange_seconds.empty()) line["exchange_s"] = step.exchange_seconds;
  if (step.limit_share) line["limit_share"] = *step.limit_share;
  if (step.profile) {
    for (std::size_t i = 0; i < kPartNames.size(); ++i) line["profile"][kPartNames[i]] = step.profile->seconds[i];
  }
  if (step.ledger) {
    line["ledger"] = *step.ledger;
    line["experts"] = loads(step.losses.routers);
    line["dropped_by_position"] = dropped_by_position(step.losses.routers);
  }
  return line;
}

}  // namespace millrace
