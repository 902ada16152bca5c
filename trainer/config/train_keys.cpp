#include "trainer/config/train_keys.h"

#include <bit>
#include <cstdint>
#include <limits>

#include <fmt/format.h>

namespace millrace {
namespace {

constexpr std::uint64_t kLargestInt = std::numeric_limits<int>::max();
constexpr std::uint64_t kMostBatchRows = 1 << 24;
constexpr std::uint64_t kMostLanes = 1 << 16;
constexpr double kLeastEps = 1e-30;  ///< Not 0 in f32.

bool is_adamw(const TrainConfig& train) {
  return train.optimizer == "adamw";
}
bool is_wsd(const TrainConfig& train) {
  return train.schedule == "wsd";
}
bool has_final_rate(const TrainConfig& train) {
  return train.schedule == "cosine" || is_wsd(train);
}

constexpr const char* kAdamw = "optimizer = \"adamw\"";

void add_batches(KeyTable<TrainConfig>& keys) {
  keys.add({.name = "batch_rows", .range = WholeRange{1, kMostBatchRows}, .unit = "rows", .meaning = "a step's"},
           &TrainConfig::batch_rows);
  keys.add(
      {.name = "micro_rows",
       .range = WholeRange{0, kMostBatchRows},
       .unit = "rows",
       .meaning = "that are computed at a time; divides `batch_rows`. "
                  "[Part of the run](training.md#batches-and-what-is-divided-by-what), not a matter of memory alone",
       .fallback = "`batch_rows`"},
      &TrainConfig::micro_rows);
  keys.add({.name = "loss_rows",
            .range = WholeRange{0, kMostBatchRows},
            .unit = "rows",
            .meaning = "whose loss weights together divide the cross-entropy: a multiple of `micro_rows` that divides "
                       "`batch_rows`. [What they change](training.md#batches-and-what-is-divided-by-what)",
            .fallback = "`batch_rows`; of a run that was begun before the key was, its `micro_rows`"},
           &TrainConfig::loss_rows);
  keys.add(
      {.name = "lanes",
       .range = WholeRange{1, kMostLanes},
       .unit = "lanes",
       .meaning = "of micro-batches, whose gradients are added apart and then in a tree: a power of two that divides "
                  "the micro-batches of a step. [The order of sums](training.md#the-order-of-sums)",
       .only_if_changed = true},
      &TrainConfig::lanes);
  keys.add({.name = "expert_lanes",
            .range = WholeRange{1, kMostLanes},
            .unit = "lanes",
            .meaning = "in each lane, of all gradients but the experts': a power of two that divides the micro-batches "
                       "of a lane",
            .only_if_changed = true},
           &TrainConfig::expert_lanes);
  keys.add({.name = "tokens",
            .range = WholeRange{},
            .unit = "positions",
            .meaning = "to train on; 0: up to the last phase's end, which they may not exceed",
            .fallback = "the last phase's end"},
           &TrainConfig::tokens);
}

void add_rate(KeyTable<TrainConfig>& keys) {
  keys.add({.name = "optimizer",
            .range = Choices{{"adafactor", "adamw"}},
            .meaning = "`\"adafactor\"` is set as OpenMoE set it"},
           &TrainConfig::optimizer);
  keys.add({.name = "schedule",
            .range = Choices{{"rsqrt", "constant", "cosine", "wsd"}},
            .meaning = "[how the rate goes](runs.md#train)",
            .by_phase = true},
           &TrainConfig::schedule);
  keys.add({.name = "learning_rate",
            .range = NumberRange{.least_excluded = true},
            .meaning = "of Adafactor relative to each parameter's size. Only schedule `\"rsqrt\"` with Adafactor has a "
                       "default; all others require it",
            .by_phase = true},
           &TrainConfig::learning_rate);
  keys.add({.name = "warmup_steps",
            .range = WholeRange{.most = kLargestInt},
            .unit = "steps",
            .meaning = "up to the full rate; of `\"rsqrt\"`, at least 1, until the rate falls",
            .by_phase = true},
           &TrainConfig::warmup_steps);
}

void add_computing(KeyTable<TrainConfig>& keys) {
  keys.add(
      {.name = "device",
       .range = Choices{{"auto", "cpu", "cuda"}},
       .meaning = "what computes: the processor or [an NVIDIA card](gpu.md); `\"auto\"`: the card where there is one",
       .only_if_changed = true},
      &TrainConfig::device);
  keys.add({.name = "precision",
            .range = Choices{{"auto", "bf16", "f32"}},
            .meaning = "what matrix products read; `\"auto\"`: `\"bf16\"` on a card, and where the processor has it"},
           &TrainConfig::precision);
  keys.add(
      {.name = "deterministic",
       .meaning = "a card gives the same bits each time; `false`: [faster, with other bits](gpu.md#the-same-bits). "
                  "The processor gives them always",
       .only_if_changed = true},
      &TrainConfig::deterministic);
  keys.add({.name = "recompute",
            .meaning = "layers run again in the backward pass: less memory, a third more time, the same bits",
            .only_if_changed = true,
            .alters = Alters::nothing},
           &TrainConfig::recompute);
}

void add_optimizer(KeyTable<TrainConfig>& keys) {
  const NumberRange below_one{.most = 1, .most_excluded = true};
  keys.add({.name = "beta1",
            .range = below_one,
            .meaning = "memory of the gradients' mean",
            .needs = kAdamw,
            .by_phase = true},
           &TrainConfig::beta1, is_adamw);
  keys.add({.name = "beta2",
            .range = below_one,
            .meaning = "memory of the gradients' mean square",
            .needs = kAdamw,
            .by_phase = true},
           &TrainConfig::beta2, is_adamw);
  keys.add({.name = "eps",
            .range = NumberRange{.least = kLeastEps},
            .meaning = "added to the root",
            .needs = kAdamw,
            .by_phase = true},
           &TrainConfig::eps, is_adamw);
  keys.add({.name = "weight_decay",
            .range = NumberRange{},
            .meaning = "decoupled, scaled by the learning rate; norms do not decay",
            .needs = kAdamw,
            .by_phase = true},
           &TrainConfig::weight_decay, is_adamw);
  keys.add({.name = "clip_norm",
            .range = NumberRange{},
            .meaning = "gradients together are scaled down to this norm; 0: never, as OpenMoE. `grad_norm` in "
                       "`metrics.jsonl` is the norm before",
            .only_if_changed = true,
            .by_phase = true},
           &TrainConfig::clip_norm);
}

void add_decay(KeyTable<TrainConfig>& keys) {
  keys.add({.name = "final_learning_rate",
            .range = NumberRange{},
            .meaning = "at the run's end; at most `learning_rate`",
            .needs = "schedule = \"cosine\" or \"wsd\"",
            .by_phase = true},
           &TrainConfig::final_learning_rate, has_final_rate);
  keys.add({.name = "decay_share",
            .range = NumberRange{.most = 1, .least_excluded = true},
            .unit = "part",
            .meaning = "of the run's steps that the rate falls over",
            .needs = "schedule = \"wsd\"",
            .by_phase = true},
           &TrainConfig::decay_share, is_wsd);
}

/// In the fixed order in which run folders store them.
KeyTable<TrainConfig> make_train_keys() {
  KeyTable<TrainConfig> keys("train");
  add_batches(keys);
  add_rate(keys);
  add_computing(keys);
  add_optimizer(keys);
  add_decay(keys);
  keys.add({.name = "max_bad_steps",
            .range = WholeRange{1, kLargestInt},
            .unit = "steps",
            .meaning = "so many that were skipped in a row end the run",
            .only_if_changed = true,
            .alters = Alters::nothing},
           &TrainConfig::max_bad_steps);
  keys.add(
      {.name = "stall_seconds",
       .range = NumberRange{.least_excluded = true},
       .unit = "s",
       .meaning =
           "after which [several processes](cluster.md#when-something-goes-wrong) that wait for one end: more than "
           "any step takes",
       .only_if_changed = true,
       .alters = Alters::nothing},
      &TrainConfig::stall_seconds);
  return keys;
}

KeyTable<TrainConfig> make_eval_keys() {
  KeyTable<TrainConfig> keys("eval");
  keys.add({.name = "every_steps",
            .range = WholeRange{},
            .unit = "steps",
            .meaning = "between evaluations; 0: only before the first step and after the last",
            .alters = Alters::nothing},
           &TrainConfig::eval_every_steps);
  keys.add({.name = "tokens",
            .range = WholeRange{},
            .unit = "tokens",
            .meaning = "held-out ones, over all corpora together; 0: no evaluation"},
           &TrainConfig::eval_tokens);
  return keys;
}

KeyTable<TrainConfig> make_checkpoint_keys() {
  KeyTable<TrainConfig> keys("checkpoint");
  keys.add({.name = "every_steps",
            .range = WholeRange{},
            .unit = "steps",
            .meaning = "between checkpoints; 0: only at the end",
            .alters = Alters::nothing},
           &TrainConfig::checkpoint_every_steps);
  keys.add({.name = "keep_last",
            .range = WholeRange{1, kLargestInt},
            .unit = "checkpoints",
            .meaning = "the newest ones, which stay",
            .alters = Alters::nothing},
           &TrainConfig::keep_last);
  keys.add(
      {.name = "keep_every_tokens",
       .range = WholeRange{},
       .unit = "positions",
       .meaning =
           "the first checkpoint at or after each multiple is kept for ever; 0: none. OpenMoE kept one every 200e9",
       .only_if_changed = true,
       .alters = Alters::nothing},
      &TrainConfig::keep_every_tokens);
  return keys;
}

KeyTable<TrainConfig> make_log_keys() {
  KeyTable<TrainConfig> keys("log");
  keys.add(
      {.name = "details_every_steps",
       .range = WholeRange{},
       .unit = "steps",
       .meaning = "between lines of `metrics.jsonl` with the ledger and the experts' loads: [metrics.md](metrics.md); "
                  "0: only the last step's",
       .only_if_changed = true,
       .alters = Alters::nothing},
      &TrainConfig::details_every_steps);
  return keys;
}

/// Checks the keys of [train] against each other.
void check_training(const ConfigTable& table, const TrainConfig& train) {
  if (train.batch_rows % train.micro_rows != 0)
    table.fail("micro_rows",
               fmt::format("is {}, which does not divide batch_rows = {}", train.micro_rows, train.batch_rows));
  if (train.batch_rows % train.loss_rows != 0 || train.loss_rows % train.micro_rows != 0)
    table.fail("loss_rows", fmt::format("is {}, expected a multiple of micro_rows = {} that divides batch_rows = {}",
                                        train.loss_rows, train.micro_rows, train.batch_rows));
  const int micro_batches = train.batch_rows / train.micro_rows;
  const auto divides = [&](const char* key, int lanes, int of, const char* what) {
    if (!std::has_single_bit(static_cast<unsigned>(lanes)) || of % lanes != 0)
      table.fail(key, fmt::format("is {}, expected a power of two that divides the {} micro-batches of a {}", lanes, of,
                                  what));
  };
  divides("lanes", train.lanes, micro_batches, "step");
  divides("expert_lanes", train.expert_lanes, micro_batches / train.lanes, "lane");
  if (table.has("learning_rate")) return;
  if (is_adamw(train))
    table.fail("learning_rate", "is missing: the default is Adafactor's, which is relative to a parameter's size");
  if (train.schedule != "rsqrt")
    table.fail("learning_rate",
               fmt::format("is missing: only schedule \"rsqrt\" has a default, {}; for \"{}\" it is a rate "
                           "that each run has to name",
                           train.learning_rate, train.schedule));
}

}  // namespace

const std::vector<KeyTable<TrainConfig>>& train_keys() {
  static const std::vector<KeyTable<TrainConfig>> tables{make_train_keys(), make_eval_keys(), make_checkpoint_keys(),
                                                         make_log_keys()};
  return tables;
}

TrainConfig read_training(const ConfigTable& run, LossRows of_default) {
  TrainConfig train;
  for (const KeyTable<TrainConfig>& keys : train_keys()) {
    const ConfigTable table = run.table(keys.name());
    keys.read(table, train);
    if (train.micro_rows == 0) train.micro_rows = train.batch_rows;
    if (train.loss_rows == 0)
      train.loss_rows = of_default == LossRows::of_micro_batch ? train.micro_rows : train.batch_rows;
    if (keys.name() == "train") check_training(table, train);
    table.refuse_unknown_keys();
  }
  train.device = resolved_device(train.device);
  train.precision = resolved_precision(train.precision, train.device);
  return train;
}

}  // namespace millrace
