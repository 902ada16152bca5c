#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "model/config/model_config.h"
#include "model/parameters/parameter.h"
#include "model/transformer/sampling.h"

namespace millrace {

/// Continues a prompt token by token with a KV cache. OpenMoE's code caches keys before RoPE and rotates all of them at
/// every step; a key's position never changes, so here they are cached after RoPE, which gives the same numbers.
/// Routers use the capacity of evaluation, over the tokens fed at once. Token 0 is never padding here. One object, one
/// sequence at a time, one calling thread.
class Generator {
 public:
  /// `device` and `parameters` outlive the generator; `context` bounds prompt + generated tokens. Not in f64.
  Generator(Device& device, const ModelConfig& config, const Parameters& parameters, int context);
  ~Generator();

  /// Feeds `prompt` (non-empty; OpenMoE puts pad, id 0, first), then draws up to `count` tokens, each handed to
  /// `on_token` as it comes; on_token returns false to stop. Ids >= `allowed_ids` are never drawn (padding rows).
  /// Throws std::length_error beyond `context` tokens, std::out_of_range for an id without a row, std::domain_error if
  /// logits are not finite, Stopped (stop.h).
  void generate(const std::vector<std::int32_t>& prompt, int count, int allowed_ids, const SamplingOptions& options,
                const std::function<bool(std::int32_t)>& on_token);

  /// Logits after feeding half of `tokens` as a block and the rest one by one: for checking the cache against a whole
  /// forward pass.
  std::vector<float> logits_after(const std::vector<std::int32_t>& tokens);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
