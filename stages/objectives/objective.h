#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "stages/records.h"

namespace millrace {

enum class DenoiserKind : std::uint8_t { span, prefix, causal };
/// Their names, in the same order.
inline constexpr std::array<const char*, 3> kDenoiserKinds{"span", "prefix", "causal"};
constexpr const char* name_of(DenoiserKind kind) {
  return kDenoiserKinds[static_cast<std::size_t>(kind)];
}

/// One way of turning raw tokens into an example (UL2, arXiv 2205.05131; arXiv 2402.01739, table 2).
struct Denoiser {
  std::string name;
  DenoiserKind kind = DenoiserKind::span;
  double share = 0;          ///< Fraction of a corpus's examples, in (0, 1].
  double mean_span = 3;      ///< span: mean length of a noise span, in tokens.
  double mask_ratio = 0.15;  ///< span: fraction of the raw tokens that are noise.
  std::string prompt;        ///< Ordinary text before the inputs: "[NLU] ".
};

/// How examples fill rows. full: the raw length is chosen so that one example fills a row. openmoe: inputs and targets
/// have lengths of their own, and a row takes as many examples, in order, as fit (SeqIO's trim-and-pack).
enum class RowLayout : std::uint8_t { full, openmoe };
enum class Separator : std::uint8_t { none, eos };
/// What a position may attend to: all earlier positions of its example, or only those of its document.
enum class AttentionReach : std::uint8_t { packed, document };

/// Layout openmoe: the most ids that an example's inputs and targets may have, eos counted.
struct FeatureLengths {
  int inputs = 0;  ///< 0 where no denoiser has inputs.
  int targets = 0;
  bool operator==(const FeatureLengths&) const = default;
};

/// What the model is asked to learn: denoisers with their shares, and how their examples fill a row.
struct Objective {
  std::string name;
  RowLayout layout = RowLayout::full;
  FeatureLengths lengths;  ///< Layout openmoe only.
  Separator separator = Separator::none;
  AttentionReach attention = AttentionReach::packed;  ///< document: of causal denoisers only.
  std::uint64_t max_document_tokens = 0;              ///< Of a longer document one chunk is read. 0: no limit.
  std::vector<Denoiser> denoisers;                    ///< At least one; shares sum to 1.
};

}  // namespace millrace
