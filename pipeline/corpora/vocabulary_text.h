#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/job.h"

namespace millrace {

/// Lines to train a vocabulary on, and how much was read to choose them.
struct TrainingText {
  std::vector<std::string> lines;
  std::uint64_t bytes = 0;       ///< Of the pieces chosen.
  std::uint64_t read_bytes = 0;  ///< Of the texts they were chosen from.
  std::uint64_t rejects = 0;
};

/// Chooses about `bytes` of text, evenly from the shards: each is read from its start, up to eight times its part of
/// `bytes`, and pieces of about 4 KB are taken at even distances. The same shards give the same lines. Layouts are
/// detected. Throws Interrupted, and ConfigError if there is no text.
TrainingText choose_training_text(const std::vector<std::string>& shards, std::uint64_t bytes,
                                  const JobCallbacks& callbacks);

}  // namespace millrace
