#pragma once

#include <cstdint>
#include <string>

#include "model/bf16.h"

namespace millrace {

/// How a run trains, as written in the run file's [train], [eval], [checkpoint] and [log]. Defaults are OpenMoE-Base's.
struct TrainConfig {
  int batch_rows = 128;
  int micro_rows = 0;  ///< Rows per micro-batch; 0: all. Divides batch_rows. Part of the run's identity.
  int loss_rows = 0;   ///< Rows whose loss weights' sum divides the cross-entropy; 0: all. A multiple of micro_rows.
  int lanes = 1;       ///< Of micro-batches: the order in which gradients are added (trainer/backend/lane_sums.h).
  int expert_lanes = 1;
  std::uint64_t tokens = 0;             ///< Positions to train on; 0: the last phase's end.
  std::string optimizer = "adafactor";  ///< "adafactor" or "adamw".
  double beta1 = 0.9;                   ///< AdamW's: see adamw.h.
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 0;            ///< Limit of the global gradient norm; 0: no clipping, as OpenMoE.
  std::string schedule = "rsqrt";  ///< "rsqrt", "constant", "cosine" or "wsd": see learning_rate.h.
  double learning_rate = 1.0;
  double final_learning_rate = 0;  ///< Where "cosine" and "wsd" end.
  int warmup_steps = 10000;
  double decay_share = 0.1;             ///< Share of the run's steps that "wsd" decays over.
  int max_bad_steps = 10;               ///< This many skipped steps in a row end the run.
  double stall_seconds = 600;           ///< Several ranks: an exchange that lasts so long ends the job.
  std::string device = "cpu";           ///< "cpu", "cuda" or "auto" (see below).
  std::string precision = "f32";        ///< Of the factors of matrix products: "f32", "bf16" or "auto" (see below).
  bool deterministic = true;            ///< On a card: the same bits each time (model/device/device.h).
  bool recompute = false;               ///< Recompute layers in backward: less memory, a third more time, same bits.
  std::uint64_t eval_every_steps = 0;   ///< 0: only at the first and the last step.
  std::uint64_t eval_tokens = 100'000;  ///< Held-out tokens over all corpora together.
  std::uint64_t checkpoint_every_steps = 1000;
  int keep_last = 3;
  std::uint64_t keep_every_tokens =
      0;  ///< Keep one checkpoint for ever per so many positions; 0: none. OpenMoE: 200e9.
  std::uint64_t details_every_steps = 10;  ///< Of metrics.jsonl: docs/metrics.md. 0: only at the last step.
};

/// "auto" becomes "cuda" if a card can be opened, else "cpu"; other values are returned unchanged.
std::string resolved_device(const std::string& device);
/// "auto" becomes "bf16" on a card, or if this processor supports it, else "f32"; other values are returned unchanged.
/// `device`: resolved.
std::string resolved_precision(const std::string& precision, const std::string& device = "cpu");
/// Throws ConfigError for an unknown word, and for "bf16" where the processor is asked for it and has no instructions.
Precision precision_named(const std::string& precision, const std::string& where = "train.precision",
                          const std::string& device = "cpu");

}  // namespace millrace
