#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "pipeline/config/stream_config.h"
#include "stages/philox.h"

namespace millrace {

/// A corpus or a denoiser with its share.
struct Quota {
  ShareUnits weight = 0;    ///< w, relative to the others'; 0: takes no part (closed).
  std::uint64_t taken = 0;  ///< x: what it has had so far.
  std::uint64_t next = 1;   ///< L: what it would take next.
};

/// Who is next: with W = sum w and N = sum x, among those with w (N + L) > x W the one with the smallest
/// (x + longest) / w, ties to the first. Every claimant then stays within `longest` of w N / W after every choice.
/// Integers of 128 bits: exact for totals up to 2^63. REQUIRES: some weight > 0; longest >= every next.
std::size_t choose_by_quota(std::span<const Quota> claimants, std::uint64_t longest);

/// A claimant drawn with probability proportional to its weight. REQUIRES: some weight > 0.
std::size_t draw_by_weight(std::span<const Quota> claimants, ItemRng& rng);

}  // namespace millrace
