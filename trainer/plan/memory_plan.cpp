#include "trainer/plan/memory_plan.h"

#include <algorithm>
#include <bit>
#include <vector>

#include <fmt/format.h>

#include "model/cost/activation_memory.h"
#include "model/parameters/parameter_spec.h"
#include "trainer/plan/optimizer_memory.h"

namespace millrace {

int micro_rows_of(const TrainConfig& train) {
  return train.micro_rows == 0 ? train.batch_rows : train.micro_rows;
}

namespace {

/// Memory of the process before a run's own allocations, including the libraries used by then.
constexpr std::uint64_t kProgram = std::uint64_t{90} << 20;
/// What the driver and CUDA's libraries take of it besides, and of a card's.
constexpr std::uint64_t kCudaProgram = std::uint64_t{1} << 30;
constexpr std::uint64_t kCudaContext = std::uint64_t{1} << 29;
/// For packed copies of factors in oneDNN.
constexpr std::uint64_t kPackedPerThread = std::uint64_t{8} << 20;
/// Memory of a vocabulary with its search structures, as a multiple of its file size.
constexpr std::uint64_t kVocabularyTimes = 9;

/// The gradients of all parameters, and what lanes keep beside them.
std::uint64_t gradients(const TrainConfig& train, const ModelConfig& model) {
  std::uint64_t all = 0;
  std::uint64_t shared = 0;
  for (const ParameterSpec& spec : parameter_specs(model)) {
    all += static_cast<std::uint64_t>(spec.size());
    shared += spec.per_expert ? 0 : static_cast<std::uint64_t>(spec.size());
  }
  const std::uint64_t whole = std::bit_width(static_cast<unsigned>(train.lanes));
  return (all * whole + shared * static_cast<std::uint64_t>(train.expert_lanes - 1)) * sizeof(float);
}

/// Of an evaluation's largest batch: a corpus's held-out tokens, or a micro-batch.
int scored_rows(const MemoryQuestion& question, int micro_rows) {
  const auto length = static_cast<std::uint64_t>(question.sequence_length);
  const auto corpora = static_cast<std::uint64_t>(question.corpora);
  const std::uint64_t tokens =
      question.train.eval_tokens / corpora + (question.train.eval_tokens % corpora != 0 ? 1 : 0);
  const std::uint64_t rows = tokens / length + (tokens % length != 0 ? 1 : 0);
  return static_cast<int>(std::min<std::uint64_t>(rows, static_cast<std::uint64_t>(micro_rows)));
}

bool on_card(const TrainConfig& train) {
  return train.device == "cuda";
}

Precision precision_of(const TrainConfig& train) {
  return train.precision == "bf16" ? Precision::bf16 : Precision::f32;
}

PassShape pass_shape(const MemoryQuestion& question, int micro_rows, bool recompute) {
  return {.rows = micro_rows,
          .length = question.sequence_length,
          .precision = precision_of(question.train),
          .recompute = recompute ? Recompute::yes : Recompute::no,
          .scored_rows = scored_rows(question, micro_rows),
          .threads = question.threads,
          .on_card = on_card(question.train),
          .deterministic = question.train.deterministic};
}

/// What passes take besides: so many rows, oneDNN's packed factors, a card's context.
std::uint64_t beside_activations(const MemoryQuestion& question, int rows) {
  constexpr std::uint64_t kRowArrays = 5 * sizeof(float);  // RowArrays, a position.
  const auto positions = static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(question.sequence_length);
  return positions * kRowArrays +
         (on_card(question.train) ? kCudaContext : static_cast<std::uint64_t>(question.threads) * kPackedPerThread);
}

std::uint64_t activations(const MemoryQuestion& question, int micro_rows, bool recompute) {
  return activation_bytes(question.model, pass_shape(question, micro_rows, recompute)) +
         beside_activations(question, micro_rows);
}

}  // namespace

MemoryPlan plan_memory(const MemoryQuestion& question) {
  const TrainConfig& train = question.train;
  const auto parameters = static_cast<std::uint64_t>(parameter_count(question.model));
  const OptimizerMemory optimizer = optimizer_memory(train, question.model);
  const auto counts = static_cast<std::uint64_t>(question.model.vocab_size) * sizeof(std::int64_t);
  MemoryPlan plan;
  plan.weights = parameters * (sizeof(float) + (precision_of(train) == Precision::bf16 ? sizeof(Bf16) : 0));
  plan.gradients = gradients(train, question.model);
  plan.optimizer = optimizer.state + optimizer.scratch;
  plan.activations = activations(question, micro_rows_of(train), train.recompute);
  plan.checkpoint = parameters * sizeof(float) + optimizer.state + counts;
  plan.pipeline = question.pipeline;
  plan.program = kProgram + kVocabularyTimes * question.vocabulary + counts;
  plan.on_card = on_card(train);
  if (plan.on_card) plan.program += kCudaProgram;
  return plan;
}

std::vector<int> possible_micro_rows(const TrainConfig& train) {
  const int loss_rows = train.loss_rows == 0 ? train.batch_rows : train.loss_rows;
  std::vector<int> possible;
  for (int rows = loss_rows; rows >= 1; --rows)
    if (loss_rows % rows == 0 && train.batch_rows / rows % (train.lanes * train.expert_lanes) == 0)
      possible.push_back(rows);
  return possible;
}

std::uint64_t stage_activations(const MemoryQuestion& question, const LayerRange& layers, int at_once) {
  const int micro_rows = micro_rows_of(question.train);
  return stage_activation_bytes(question.model, pass_shape(question, micro_rows, question.train.recompute), layers,
                                at_once) +
         beside_activations(question, at_once * micro_rows);
}

std::optional<std::string> settings_that_fit(const MemoryQuestion& question, const MachineMemory& machine) {
  const TrainConfig& train = question.train;
  MemoryPlan plan = plan_memory(question);
  const std::uint64_t others = plan.activations - activations(question, micro_rows_of(train), train.recompute);
  for (const bool recompute : {train.recompute, true}) {
    for (const int micro_rows : possible_micro_rows(train)) {
      if (micro_rows > micro_rows_of(train)) continue;
      plan.activations = others + activations(question, micro_rows, recompute);
      if (!plan.fits(machine)) continue;
      std::string settings;
      if (micro_rows != micro_rows_of(train)) settings += fmt::format(" --set train.micro_rows={}", micro_rows);
      if (recompute != train.recompute) settings += " --set train.recompute=true";
      return settings.empty() ? settings : settings.substr(1);
    }
  }
  return std::nullopt;
}

MemoryPlan least_memory(const MemoryQuestion& question) {
  MemoryPlan plan = plan_memory(question);
  const TrainConfig& train = question.train;
  plan.activations += activations(question, 1, true) - activations(question, micro_rows_of(train), train.recompute);
  return plan;
}

}  // namespace millrace
