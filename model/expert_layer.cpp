#include "model/expert_layer.h"

#include <algorithm>

#include "model/parallel.h"

namespace millrace {

namespace {
constexpr Index kRows = 64;
}

template <class Scalar>
ExpertLayer<Scalar>::ExpertLayer(const ModelConfig& config, Parameters<Scalar>& parameters, const std::string& prefix)
    : hidden_(config.hidden_size),
      intermediate_(config.intermediate_size),
      experts_(config.num_experts),
      router_(config, parameters.named(prefix + "gate_weight")),
      gate_(&parameters.named(prefix + "experts.wi_gate")),
      up_(&parameters.named(prefix + "experts.wi_up")),
      down_(&parameters.named(prefix + "experts.wo")) {}

template <class Scalar>
FeedForwardWeights<Scalar> ExpertLayer<Scalar>::expert(Index e) const {
  const Index size = Index{hidden_} * intermediate_;
  const auto at = [&](Scalar* base, Index stride) { return base == nullptr ? nullptr : base + e * stride; };
  return {hidden_,
          intermediate_,
          FeedForwardWeights<Scalar>::Layout::in_out,
          at(gate_->value, 2 * size),
          at(up_->value, size),
          at(down_->value, size),
          at(gate_->grad, 2 * size),
          at(up_->grad, size),
          at(down_->grad, size)};
}

/// Counting sort of the kept pairs by expert; within an expert by token, then choice.
template <class Scalar>
void ExpertLayer<Scalar>::sort_pairs(Saved& saved) const {
  const auto& routing = saved.routing;
  saved.first.assign(static_cast<std::size_t>(experts_) + 1, 0);
  for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
    if (routing.kept[pair] != 0) ++saved.first[static_cast<std::size_t>(routing.expert[pair]) + 1];
  }
  for (std::size_t e = 0; e < static_cast<std::size_t>(experts_); ++e) saved.first[e + 1] += saved.first[e];
  std::vector<Index> next(saved.first.begin(), saved.first.end() - 1);
  saved.slot.assign(routing.expert.size(), -1);
  saved.token.resize(static_cast<std::size_t>(saved.first.back()));
  for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
    if (routing.kept[pair] == 0) continue;
    const Index slot = next[static_cast<std::size_t>(routing.expert[pair])]++;
    saved.slot[pair] = slot;
    saved.token[static_cast<std::size_t>(slot)] = static_cast<Index>(pair) / routing.choices;
  }
}

template <class Scalar>
FeedForwardSaved<Scalar> ExpertLayer<Scalar>::rows_of(Saved& saved, Index first, Index count) const {
  return {saved.gate.view().row_range(first, count), saved.up.view().row_range(first, count),
          saved.hidden.view().row_range(first, count)};
}

template <class Scalar>
void ExpertLayer<Scalar>::forward(View<const Scalar> x, Mode mode, Saved& saved, View<Scalar> y) const {
  router_.forward(x, mode, saved.routing);
  sort_pairs(saved);
  const auto& routing = saved.routing;
  const Index slots = saved.first.back();
  saved.x.reshape(slots, hidden_);
  saved.y.reshape(slots, hidden_);
  saved.gate.reshape(slots, Index{2} * intermediate_);
  saved.up.reshape(slots, intermediate_);
  saved.hidden.reshape(slots, intermediate_);
  for_ranges(slots, kRows, [&](Index begin, Index end) {
    for (Index s = begin; s < end; ++s) {
      std::copy_n(x.row(saved.token[static_cast<std::size_t>(s)]), hidden_, saved.x.row(s));
    }
  });
  for (Index e = 0; e < experts_; ++e) {
    const Index first = saved.first[static_cast<std::size_t>(e)];
    const Index count = saved.first[static_cast<std::size_t>(e) + 1] - first;
    if (count == 0) continue;
    feed_forward<Scalar>(expert(e), saved.x.view().row_range(first, count), rows_of(saved, first, count),
                         saved.y.view().row_range(first, count));
  }
  for_ranges(x.rows, kRows, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
      auto sum = array_of(y.row(t), hidden_);
      sum.setZero();
      for (Index pair = t * routing.choices; pair < (t + 1) * routing.choices; ++pair) {
        const Index slot = saved.slot[static_cast<std::size_t>(pair)];
        if (slot < 0) continue;
        const Scalar gate = routing.probabilities.row(t)[routing.expert[static_cast<std::size_t>(pair)]];
        sum += gate * array_of(saved.y.row(slot), hidden_);
      }
    }
  });
}

template <class Scalar>
void ExpertLayer<Scalar>::backward(View<const Scalar> dy, View<const Scalar> x, Saved& saved,
                                   const typename Router<Scalar>::LossScales& scales, Scratch& scratch,
                                   View<Scalar> dx) const {
  const auto& routing = saved.routing;
  const Index slots = saved.first.back();
  scratch.dy.reshape(slots, hidden_);
  scratch.dx.reshape(slots, hidden_);
  scratch.d_hidden.reshape(slots, intermediate_);
  scratch.d_gates.reshape(x.rows, routing.choices);
  for_ranges(x.rows, kRows, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
      const auto upstream = array_of(dy.row(t), hidden_);
      for (Index c = 0; c < routing.choices; ++c) {
        const auto pair = static_cast<std::size_t>(t * routing.choices + c);
        const Index slot = saved.slot[pair];
        scratch.d_gates.row(t)[c] = 0;
        if (slot < 0) continue;
        scratch.d_gates.row(t)[c] = (upstream * array_of(saved.y.row(slot), hidden_)).sum();
        array_of(scratch.dy.row(slot), hidden_) = upstream * routing.probabilities.row(t)[routing.expert[pair]];
      }
    }
  });
  for (Index e = 0; e < experts_; ++e) {
    const Index first = saved.first[static_cast<std::size_t>(e)];
    const Index count = saved.first[static_cast<std::size_t>(e) + 1] - first;
    if (count == 0) continue;
    feed_forward_backward<Scalar>(expert(e), scratch.dy.view().row_range(first, count),
                                  saved.x.view().row_range(first, count), rows_of(saved, first, count),
                                  scratch.d_hidden.view().row_range(first, count),
                                  scratch.dx.view().row_range(first, count));
  }
  for_ranges(x.rows, kRows, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
      auto sum = array_of(dx.row(t), hidden_);
      sum.setZero();
      for (Index pair = t * routing.choices; pair < (t + 1) * routing.choices; ++pair) {
        const Index slot = saved.slot[static_cast<std::size_t>(pair)];
        if (slot >= 0) sum += array_of(scratch.dx.row(slot), hidden_);
      }
    }
  });
  router_.backward(scratch.d_gates.view(), x, routing, scales, scratch.d_logits, dx);
}

template class ExpertLayer<float>;
template class ExpertLayer<double>;

}  // namespace millrace
