#include "trainer/ranked/ranked_backend.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "model/stop.h"
#include "trainer/distributed/orders.h"
#include "trainer/ranked/batch_feed.h"
#include "trainer/ranked/step_results.h"
#include "trainer/ranked/training_text.h"

namespace millrace {

namespace {

/// The others make their model while this rank makes its own.
Communicator& tell_to_make(Communicator& ranks, const ModelConfig& model, const TrainConfig& train) {
  give_order(ranks, {.kind = OrderKind::make}, text_of_training(model, train));
  return ranks;
}

/// Something that all ranks do together, from rank 0's order to its end.
class Together {
 public:
  Together(Communicator& ranks, const Order& order, const std::string& text = {}) : ranks_(ranks) {
    give_order(ranks, order, text);
  }
  ~Together() { ranks_.activity().begin(Activity::Kind::works, "reads, logs, evaluates or saves"); }
  Together(const Together&) = delete;
  Together& operator=(const Together&) = delete;

 private:
  Communicator& ranks_;
};

}  // namespace

RankedBackend::RankedBackend(Communicator& ranks, std::unique_ptr<Device> device, const ModelConfig& model,
                             const TrainConfig& train)
    : ranks_(ranks), replica_(tell_to_make(ranks, model, train), std::move(device), model, train) {}

void RankedBackend::forward_backward(const MicroBatches& batches) {
  const auto ranks = static_cast<std::size_t>(ranks_.size());
  const std::size_t own = batches.count / ranks;
  std::vector<std::vector<std::byte>> rows;
  for (std::size_t i = 0; i < batches.count; ++i) rows.push_back(bytes_of_batch(batches.rows(i)));
  const Together together(ranks_,
                          {.kind = OrderKind::step, .count = own, .size = rows.front().size(), .a = batches.share});
  std::vector<Pending> sent;
  for (std::size_t i = own; i < batches.count; ++i) sent.push_back(ranks_.send(rows[i], static_cast<int>(i / own)));
  const StepResults mine = replica_.compute({.count = own,
                                             .share = batches.share,
                                             .rows = [&](std::size_t i) { return batch_in(rows[i]); },
                                             .done = batches.done});
  ranks_.activity().begin(Activity::Kind::exchanges, "results");
  for (const Pending one : sent) ranks_.wait(one);
  compute_seconds_.assign(1, mine.seconds);
  std::vector<StepResults> all;
  std::uint64_t is_stopped = mine.is_stopped ? 1 : 0;
  for (int rank = 1; rank < ranks_.size(); ++rank) {
    std::uint64_t size = 0;
    ranks_.wait(ranks_.receive(writable_bytes_of_value(size), rank));
    std::vector<std::byte> bytes(size);
    ranks_.wait(ranks_.receive(bytes, rank));
    all.push_back(results_in(bytes));
    compute_seconds_.push_back(all.back().seconds);
    if (all.back().is_stopped) is_stopped = 1;
  }
  ranks_.wait(ranks_.broadcast(writable_bytes_of_value(is_stopped), 0));
  if (is_stopped != 0) throw Stopped();
  std::size_t next = own;
  for (const StepResults& results : all)
    for (const MicroBatchResult& one : results.micro_batches) batches.done(next++, one.losses, one.scores);
  replica_.add_up();
}

double RankedBackend::gradient_norm() {
  const Together together(ranks_, {.kind = OrderKind::norm});
  return replica_.gradient_norm();
}

UpdateNorms RankedBackend::update(double learning_rate, double gradient_factor) {
  const std::uint64_t updates = replica_.optimizer().updates();
  const Together together(ranks_,
                          {.kind = OrderKind::update, .count = updates, .a = learning_rate, .b = gradient_factor});
  return replica_.update(updates, learning_rate, gradient_factor);
}

void RankedBackend::follow(const ModelConfig& model, const TrainConfig& train) {
  const Together together(ranks_, {.kind = OrderKind::settings}, text_of_training(model, train));
  replica_.follow(model, train);
}

void RankedBackend::values_changed() {
  const Together together(ranks_, {.kind = OrderKind::values});
  replica_.take_values();
}

void RankedBackend::bring_home() {
  const Together together(ranks_, {.kind = OrderKind::home});
  replica_.bring_home();
}

}  // namespace millrace
