#include "trainer/ranked/stage_passes.h"

#include <span>

#include <fmt/format.h>

#include "model/kernels/rows.h"
#include "trainer/cluster/pipeline_schedule.h"

namespace millrace {
namespace {

std::span<std::byte> bytes_of(const Tensor& numbers) {
  return {static_cast<std::byte*>(numbers.data),
          static_cast<std::size_t>(numbers.size()) * millrace::bytes_of(numbers.type)};
}

}  // namespace

void StagePasses::Inbox::begin(Index rows, Index columns, std::size_t count) {
  for (Buffer& buffer : buffers_) buffer.shaped(rows, columns, Type::f32);
  expected_ = taken_ = 0;
  count_ = count;
  expect();
}

void StagePasses::Inbox::expect() {
  if (expected_ == count_) return;
  const std::size_t turn = expected_++ % 2;
  coming_[turn] = stages_.receive(bytes_of(buffers_[turn].tensor()), from_);
}

Tensor StagePasses::Inbox::next() {
  const std::size_t turn = taken_++ % 2;
  stages_.wait(coming_[turn]);
  expect();
  return buffers_[turn].tensor();
}

void StagePasses::Outbox::send(const Tensor& numbers) {
  const std::size_t turn = sent_++ % 2;
  if (sent_ - done_ > 2) {
    stages_.wait(going_[turn]);
    ++done_;
  }
  const Tensor copy = buffers_[turn].shaped(numbers.rows, numbers.columns, numbers.type);
  device_.run(CopyRows{numbers, copy}, numbers.rows);
  device_.wait();
  going_[turn] = stages_.send(bytes_of(copy), to_);
}

void StagePasses::Outbox::finish() {
  for (; done_ < sent_; ++done_) stages_.wait(going_[done_ % 2]);
  sent_ = done_ = 0;
}

StagePasses::StagePasses(Communicator& stages, LocalBackend& local, Index hidden_size, Activity& activity)
    : stages_(stages),
      local_(local),
      hidden_size_(hidden_size),
      activity_(activity),
      stream_in_(stages, local.device(), stages.rank() - 1),
      gradient_in_(stages, local.device(), stages.rank() + 1),
      stream_out_(stages, local.device(), stages.rank() + 1),
      gradient_out_(stages, local.device(), stages.rank() - 1) {}

void StagePasses::begin(Activity::Kind kind, const char* what, std::size_t micro_batch, std::size_t count) {
  activity_.begin(kind, fmt::format("{} {} of {}", what, micro_batch + 1, count));
}

void StagePasses::forward_backward(const MicroBatches& batches) {
  const auto stage = static_cast<std::size_t>(stages_.rank());
  const auto stages = static_cast<std::size_t>(stages_.size());
  Transformer& model = local_.transformer();
  std::vector<TokenBatch> rows;
  for (std::size_t i = 0; i < batches.count; ++i) rows.push_back(batches.rows(i));
  while (kept_.size() < most_in_work(stage, stages, batches.count)) kept_.emplace_back(model);
  const Index positions = Index{rows.front().rows} * rows.front().length;
  if (!is_first()) stream_in_.begin(positions, hidden_size_, batches.count);
  if (!is_last()) gradient_in_.begin(positions, hidden_size_, batches.count);
  TokenScores scores;
  for (const StageAction& action : pipeline_schedule(stage, stages, batches.count)) {
    const std::size_t i = action.micro_batch;
    Activations& kept = kept_[i % kept_.size()];
    if (action.pass == StageAction::Pass::forward) {
      begin(Activity::Kind::exchanges, "the stage before, in micro-batch", i, batches.count);
      const Tensor input = is_first() ? Tensor{} : stream_in_.next();
      begin(Activity::Kind::works, "computes forward micro-batch", i, batches.count);
      const Tensor h = model.forward(rows[i], input, kept);
      if (!is_last()) stream_out_.send(h);
    } else {
      begin(Activity::Kind::exchanges, "the stage behind, in micro-batch", i, batches.count);
      const Tensor d_output = is_last() ? Tensor{} : gradient_in_.next();
      begin(Activity::Kind::works, "computes backward micro-batch", i, batches.count);
      model.add_gradients_at(local_.sums().begin(i, batches.count));
      const Tensor gradient = model.backward(d_output, batches.share, kept, is_last() ? &scores : nullptr);
      if (!is_first()) gradient_out_.send(gradient);
      local_.sums().end(i, batches.count);
      batches.done(i, model.losses(), scores);
    }
  }
  stream_out_.finish();
  gradient_out_.finish();
}

TokenScores StagePasses::score(const TokenBatch& batch) {
  Transformer& model = local_.transformer();
  Tensor input;
  if (!is_first()) {
    activity_.begin(Activity::Kind::exchanges, "the stage before");
    stream_in_.begin(Index{batch.rows} * batch.length, hidden_size_, 1);
    input = stream_in_.next();
  }
  activity_.begin(Activity::Kind::works, "evaluates");
  if (is_last()) return model.score(batch, input);
  stream_out_.send(model.score_forward(batch, input));
  stream_out_.finish();
  return {};
}

}  // namespace millrace
