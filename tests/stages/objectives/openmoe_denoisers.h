#pragma once

#include <vector>

#include "stages/objectives/segment_to_example.h"

namespace millrace {

/// OpenMoE's: 300 sentinels that end at id 256,299; eos is 1.
inline constexpr SpecialIds kIds{0, 1, 256'299, 300};
inline const std::vector<TokenId> kPrompt{11, 12, 13, 14, 15};

inline Denoiser span(double mask_ratio, double mean_span) {
  return {"span", DenoiserKind::span, 1, mean_span, mask_ratio, ""};
}

inline Denoiser of_kind(DenoiserKind kind) {
  return {"other", kind, 1, 0, 0, ""};
}

}  // namespace millrace
