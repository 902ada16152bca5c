#include "model/pass/pass.h"

#include <cmath>
#include <stdexcept>

namespace millrace {

DropoutMask Dropout::mask(int layer, DropoutPlace place, Index length) const {
  if (!(rate >= 0 && rate < 1)) throw std::logic_error("a dropout rate that is not in [0, 1)");
  DropoutMask mask;
  if (rate == 0) return mask;
  mask.key = seed;
  for (const std::uint64_t number : {step, static_cast<std::uint64_t>(layer + 1), static_cast<std::uint64_t>(place)})
    mask.key = mixed(mixed(mask.key) + number);
  mask.first_row = first_row;
  mask.length = length;
  mask.below = static_cast<std::uint32_t>(std::round(rate * 0x1p32));
  mask.scale = 1 / (1 - rate);
  return mask;
}

}  // namespace millrace
