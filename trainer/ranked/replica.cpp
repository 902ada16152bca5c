#include "trainer/ranked/replica.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "model/device/counting_device.h"
#include "model/stop.h"
#include "trainer/optimizer/make_optimizer.h"
#include "trainer/ranked/ownership.h"

namespace millrace {
namespace {

Piece numbers_of(const Tensor& tensor) {
  return {static_cast<float*>(tensor.data), static_cast<std::size_t>(tensor.size())};
}

/// Pieces of the same sizes.
void copy(const std::vector<Piece>& from, const std::vector<Piece>& to) {
  for (std::size_t i = 0; i < from.size(); ++i) std::ranges::copy(from[i], to[i].begin());
}

}  // namespace

TrainConfig training_of_rank(TrainConfig train, int ranks) {
  train.lanes /= ranks;
  return train;
}

Replica::Replica(Communicator& ranks, std::unique_ptr<Device> device, const ModelConfig& model,
                 const TrainConfig& train)
    : ranks_(ranks),
      train_(train),
      owners_(ownership(parameter_specs(model), ranks.size())),
      sums_(ranks, parameter_specs(model), owners_),
      local_(std::move(device), model, training_of_rank(train, ranks.size()),
             OwnedParts{owners_[static_cast<std::size_t>(ranks.rank())], &sums_}),
      whole_(is_home() ? make_optimizer(train, local_.device(), local_.parameters()) : nullptr) {}

Shares Replica::shares_of(Tensor Parameter::*tensor) const {
  Shares shares(owners_.size());
  for (std::size_t owner = 0; owner < owners_.size(); ++owner)
    for (const ParameterPart& part : owners_[owner])
      shares[owner].push_back(numbers_of(part_of(local_.parameters().all[part.parameter].*tensor, part)));
  return shares;
}

std::vector<Piece> Replica::own_state() {
  std::vector<Piece> pieces;
  for (const StateTensor& tensor : local_.optimizer().state()) pieces.push_back(numbers_of(tensor.data));
  return pieces;
}

/// What state an owner has is told by an optimizer of its parts that has no memory.
Shares Replica::state_shares() {
  Shares shares(owners_.size());
  if (!is_home()) {
    shares[static_cast<std::size_t>(ranks_.rank())] = own_state();
    return shares;
  }
  std::map<std::string, Piece> whole;
  for (const StateTensor& tensor : whole_->state()) whole[tensor.name] = numbers_of(tensor.data);
  for (std::size_t owner = 0; owner < owners_.size(); ++owner) {
    CountingDevice device(local_.device().precision(), true);
    const auto optimizer = make_optimizer(train_, device, local_.parameters(), {owners_[owner], &sums_});
    for (const StateTensor& tensor : optimizer->state())
      shares[owner].push_back(
          whole.at(tensor.name)
              .subspan(static_cast<std::size_t>(tensor.first), static_cast<std::size_t>(tensor.size())));
  }
  return shares;
}

StepResults Replica::compute(const MicroBatches& batches) {
  StepResults results;
  Activity& activity = ranks_.activity();
  MicroBatches own = batches;
  own.rows = [&](std::size_t i) {
    activity.begin(Activity::Kind::exchanges, "rows");
    const TokenBatch rows = batches.rows(i);
    activity.begin_step(rows.step + 1);
    activity.begin(Activity::Kind::works, fmt::format("computes micro-batch {} of {}", i + 1, batches.count));
    return rows;
  };
  own.done = [&](std::size_t i, const Losses& losses, const TokenScores& scores) {
    if (batches.done)
      batches.done(i, losses, scores);
    else
      results.micro_batches.push_back({losses, scores});
  };
  const auto start = std::chrono::steady_clock::now();
  try {
    local_.forward_backward(own);
  } catch (const Stopped&) {
    results.is_stopped = true;
    results.micro_batches.clear();
  }
  results.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return results;
}

void Replica::add_up() {
  ranks_.activity().begin(Activity::Kind::exchanges, "gradients");
  add_up_shares(ranks_, local_.device(), shares_of(&Parameter::gradient));
}

double Replica::gradient_norm() {
  ranks_.activity().begin(Activity::Kind::exchanges, "sums of gradients");
  return local_.gradient_norm();
}

UpdateNorms Replica::update(std::uint64_t updates, double learning_rate, double gradient_factor) {
  ranks_.activity().begin(Activity::Kind::exchanges, "sums of the update");
  local_.optimizer().set_updates(updates);
  const UpdateNorms norms = local_.update(learning_rate, gradient_factor);
  if (is_home()) whole_->set_updates(updates + 1);
  ranks_.activity().begin(Activity::Kind::exchanges, "weights");
  give_shares(ranks_, shares_of(&Parameter::value));
  local_.values_changed();
  return norms;
}

void Replica::follow(const ModelConfig& model, const TrainConfig& train) {
  local_.follow(model, train);
}

void Replica::take_values() {
  ranks_.activity().begin(Activity::Kind::exchanges, "weights");
  Shares values(owners_.size());
  for (const Parameter& parameter : local_.parameters().all) values[0].push_back(numbers_of(parameter.value));
  give_shares(ranks_, values);
  const Shares state = state_shares();
  send_shares_out(ranks_, state);
  if (is_home()) copy(state[0], own_state());
  local_.values_changed();
}

void Replica::bring_home() {
  ranks_.activity().begin(Activity::Kind::exchanges, "the optimizer's state");
  const Shares state = state_shares();
  bring_shares_home(ranks_, state);
  if (is_home()) copy(own_state(), state[0]);
}

}  // namespace millrace
