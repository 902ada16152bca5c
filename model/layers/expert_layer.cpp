#include "model/layers/expert_layer.h"

#include <algorithm>

#include "model/array.h"
#include "model/parallel.h"

namespace millrace {

namespace {
constexpr Index kExpertRows = 64;
constexpr Index kSlotMultiple = 32;

/// (rows, columns), with room for `most` rows.
template <class Number>
void shape(Matrix<Number>& matrix, Index rows, Index columns, Index most) {
  matrix.reserve(most * columns);
  matrix.reshape(rows, columns);
}

Index slot_multiple_of(Precision precision) {
  return precision == Precision::bf16 ? kSlotMultiple : 1;
}
}  // namespace

Index most_expert_slots(const Capacity& capacity, Index tokens, Index choices, Index experts, Precision precision) {
  const Index groups = tokens == 0 ? 0 : tokens / capacity.group;
  const Index places = std::min(capacity.pairs, capacity.group);
  return std::min(tokens * choices, groups * places * experts) + experts * (slot_multiple_of(precision) - 1);
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
  const auto at = [&](auto* base, Index stride) { return base == nullptr ? nullptr : base + e * stride; };
  return {hidden_,
          intermediate_,
          FeedForwardWeights<Scalar>::Layout::in_out,
          at(gate_->value, 2 * size),
          at(up_->value, size),
          at(down_->value, size),
          at(gate_->grad, 2 * size),
          at(up_->grad, size),
          at(down_->grad, size),
          at(gate_->image, 2 * size),
          at(up_->image, size),
          at(down_->image, size)};
}

template <class Scalar>
Index ExpertLayer<Scalar>::slot_multiple() const {
  return slot_multiple_of(gate_->precision());
}

/// Rows to reserve: never exceeded, so memory never grows.
template <class Scalar>
Index ExpertLayer<Scalar>::most_slots(const typename Router<Scalar>::Routing& routing) const {
  return most_expert_slots(routing.capacity, routing.logits.rows(), routing.choices, experts_, gate_->precision());
}

/// Counting sort of the kept pairs by expert; within an expert by token, then choice.
template <class Scalar>
void ExpertLayer<Scalar>::sort_pairs(Saved& saved) const {
  const auto& routing = saved.routing;
  saved.first.assign(static_cast<std::size_t>(experts_) + 1, 0);
  for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
    if (routing.kept[pair] != 0) ++saved.first[static_cast<std::size_t>(routing.expert[pair]) + 1];
  }
  const Index multiple = slot_multiple();
  for (std::size_t e = 0; e < static_cast<std::size_t>(experts_); ++e) {
    saved.first[e + 1] = saved.first[e] + range_count(saved.first[e + 1], multiple) * multiple;
  }
  saved.next.assign(saved.first.begin(), saved.first.end() - 1);
  saved.slot.assign(routing.expert.size(), -1);
  saved.token.reserve(static_cast<std::size_t>(most_slots(routing)));
  saved.token.assign(static_cast<std::size_t>(saved.first.back()), -1);
  for (std::size_t pair = 0; pair < routing.expert.size(); ++pair) {
    if (routing.kept[pair] == 0) continue;
    const Index slot = saved.next[static_cast<std::size_t>(routing.expert[pair])]++;
    saved.slot[pair] = slot;
    saved.token[static_cast<std::size_t>(slot)] = static_cast<Index>(pair) / routing.choices;
  }
}

template <class Scalar>
FeedForwardSaved<Scalar> ExpertLayer<Scalar>::rows_of(Saved& saved, Scratch* scratch, Index first, Index count) const {
  const auto rows = [&](auto& matrix) { return matrix.view().row_range(first, count); };
  FeedForwardSaved<Scalar> part{rows(saved.gate), rows(saved.up), rows(saved.hidden)};
  if (gate_->precision() == Precision::f32) return part;
  part.hidden_image = rows(saved.hidden_image);
  if (scratch == nullptr) return part;
  part.gate_image = rows(scratch->gate_image);
  part.up_image = rows(scratch->up_image);
  return part;
}

template <class Scalar>
void ExpertLayer<Scalar>::forward(View<const Scalar> x, const BatchLayout& layout, Mode mode, Saved& saved,
                                  View<Scalar> y, Profile* profile) const {
  PartTimer timer(profile, Part::router);
  router_.forward(x, layout, mode, saved.routing);
  timer.next(Part::dispatch);
  sort_pairs(saved);
  const auto& routing = saved.routing;
  const Index slots = saved.first.back();
  const Index most = most_slots(routing);
  shape(saved.x, slots, hidden_, most);
  shape(saved.y, slots, hidden_, most);
  shape(saved.gate, slots, Index{2} * intermediate_, most);
  shape(saved.up, slots, intermediate_, most);
  shape(saved.hidden, slots, intermediate_, most);
  if (gate_->precision() == Precision::bf16) shape(saved.hidden_image, slots, intermediate_, most);
  saved.x_image.reserve(most, hidden_, gate_->precision());
  for_ranges(slots, kExpertRows, [&](Index begin, Index end) {
    for (Index s = begin; s < end; ++s) {
      const Index token = saved.token[static_cast<std::size_t>(s)];
      token < 0 ? std::fill_n(saved.x.row(s), hidden_, Scalar{0}) : std::copy_n(x.row(token), hidden_, saved.x.row(s));
    }
  });
  const Factor<Scalar> read = saved.x_image.of(saved.x.view(), gate_->precision());
  timer.next(Part::experts);
  for (Index e = 0; e < experts_; ++e) {
    const Index first = saved.first[static_cast<std::size_t>(e)];
    const Index count = saved.first[static_cast<std::size_t>(e) + 1] - first;
    if (count == 0) continue;
    feed_forward<Scalar>(expert(e), read.row_range(first, count), rows_of(saved, nullptr, first, count),
                         saved.y.view().row_range(first, count));
  }
  timer.next(Part::dispatch);
  for_ranges(x.rows, kExpertRows, [&](Index begin, Index end) {
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
                                   const typename Router<Scalar>::LossScales& scales, Scratch& scratch, View<Scalar> dx,
                                   Profile* profile) const {
  PartTimer timer(profile, Part::dispatch);
  const auto& routing = saved.routing;
  const Index slots = saved.first.back();
  const Index most = most_slots(routing);
  shape(scratch.dy, slots, hidden_, most);
  shape(scratch.dx, slots, hidden_, most);
  shape(scratch.d_hidden, slots, intermediate_, most);
  scratch.d_gates.reshape(x.rows, routing.choices);
  scratch.dy_image.reserve(most, hidden_, gate_->precision());
  if (gate_->precision() == Precision::bf16) {
    shape(scratch.gate_image, slots, Index{2} * intermediate_, most);
    shape(scratch.up_image, slots, intermediate_, most);
  }
  for (Index s = 0; s < slots; ++s) {
    if (saved.token[static_cast<std::size_t>(s)] < 0) std::fill_n(scratch.dy.row(s), hidden_, Scalar{0});
  }
  for_ranges(x.rows, kExpertRows, [&](Index begin, Index end) {
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
  timer.next(Part::experts);
  const Factor<Scalar> upstream = scratch.dy_image.of(scratch.dy.view(), gate_->precision());
  const Factor<Scalar> read = saved.x_image.again(saved.x.view());
  for (Index e = 0; e < experts_; ++e) {
    const Index first = saved.first[static_cast<std::size_t>(e)];
    const Index count = saved.first[static_cast<std::size_t>(e) + 1] - first;
    if (count == 0) continue;
    feed_forward_backward<Scalar>(expert(e), upstream.row_range(first, count), read.row_range(first, count),
                                  rows_of(saved, &scratch, first, count),
                                  scratch.d_hidden.view().row_range(first, count),
                                  scratch.dx.view().row_range(first, count));
  }
  timer.next(Part::dispatch);
  for_ranges(x.rows, kExpertRows, [&](Index begin, Index end) {
    for (Index t = begin; t < end; ++t) {
      auto sum = array_of(dx.row(t), hidden_);
      sum.setZero();
      for (Index pair = t * routing.choices; pair < (t + 1) * routing.choices; ++pair) {
        const Index slot = saved.slot[static_cast<std::size_t>(pair)];
        if (slot >= 0) sum += array_of(scratch.dx.row(slot), hidden_);
      }
    }
  });
  timer.next(Part::router);
  router_.backward(scratch.d_gates.view(), x, routing, scales, scratch.d_logits, dx);
}

template class ExpertLayer<float>;
template class ExpertLayer<double>;

}  // namespace millrace
