#include "pipeline/corpora/is_held_out.h"

#include <xxhash.h>

namespace millrace {
namespace {

constexpr double kTwoTo64 = 0x1p64;

}  // namespace

bool is_held_out(std::string_view text, double fraction) {
  return static_cast<double>(XXH3_64bits(text.data(), text.size())) < fraction * kTwoTo64;
}

}  // namespace millrace
