#include "trainer/ranked/replica.h"

#include <chrono>
#include <cstdint>
#include <exception>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "model/stop.h"

namespace millrace {
namespace {

Piece numbers_of(const Tensor& tensor) {
  return {static_cast<float*>(tensor.data), static_cast<std::size_t>(tensor.size())};
}

}  // namespace

TrainConfig training_of_rank(TrainConfig train, int ranks) {
  train.lanes /= ranks;
  return train;
}

Replica::Replica(Communicator& ranks, std::unique_ptr<Device> device, const ModelConfig& model,
                 const TrainConfig& train)
    : ranks_(ranks), local_(std::move(device), model, training_of_rank(train, ranks.size())) {}

Shares Replica::value_shares() const {
  Shares shares(static_cast<std::size_t>(ranks_.size()));
  for (const Parameter& parameter : local_.parameters().all) shares[0].push_back(numbers_of(parameter.value));
  return shares;
}

Shares Replica::gradient_shares() const {
  Shares shares(static_cast<std::size_t>(ranks_.size()));
  for (const Parameter& parameter : local_.parameters().all) shares[0].push_back(numbers_of(parameter.gradient));
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
  add_up_shares(ranks_, local_.device(), gradient_shares());
}

double Replica::gradient_norm() {
  return is_owner() ? local_.gradient_norm() : 0;
}

UpdateNorms Replica::update(double learning_rate, double gradient_factor) {
  UpdateNorms norms;
  std::exception_ptr refusal;
  ranks_.activity().begin(is_owner() ? Activity::Kind::works : Activity::Kind::exchanges, "weights");
  try {
    if (is_owner()) norms = local_.update(learning_rate, gradient_factor);
  } catch (const NotFiniteUpdate&) {
    refusal = std::current_exception();
  }
  ranks_.activity().begin(Activity::Kind::exchanges, "weights");
  std::uint64_t is_refused = refusal ? 1 : 0;
  ranks_.wait(ranks_.broadcast(writable_bytes_of_value(is_refused), 0));
  if (refusal) std::rethrow_exception(refusal);
  if (is_refused != 0) return norms;
  give_shares(ranks_, value_shares());
  if (!is_owner()) local_.values_changed();
  return norms;
}

void Replica::follow(const ModelConfig& model, const TrainConfig& train) {
  local_.follow(model, train);
}

void Replica::take_values() {
  ranks_.activity().begin(Activity::Kind::exchanges, "weights");
  give_shares(ranks_, value_shares());
  local_.values_changed();
}

void Replica::bring_home() {}

}  // namespace millrace
