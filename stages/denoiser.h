#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stages/records.h"

namespace millrace {

enum class DenoiserKind : std::uint8_t { span, prefix, causal };

/// One way of turning raw tokens into an example (openmoe-facts 2.1; UL2, arXiv 2205.05131).
struct Denoiser {
  std::string name;
  DenoiserKind kind = DenoiserKind::span;
  double share = 0;          ///< Fraction of a corpus's examples, in (0, 1].
  double mean_span = 3;      ///< span: mean length of a noise span, in tokens.
  double mask_ratio = 0.15;  ///< span: fraction of the raw tokens that are noise.
  std::string prompt;        ///< Ordinary text put in front of the inputs: "[NLU] ".
};

enum class RowLayout : std::uint8_t { full, openmoe };
enum class Separator : std::uint8_t { none, eos };

/// What the model is asked to learn: denoisers with their shares, and how their examples fill a row.
struct Objective {
  std::string name;
  RowLayout layout = RowLayout::full;
  Separator separator = Separator::none;
  std::vector<Denoiser> denoisers;  ///< At least one; shares sum to 1.
};

}  // namespace millrace
