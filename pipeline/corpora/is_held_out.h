#pragma once

#include <string_view>

namespace millrace {

/// True iff xxh3_64(text, seed 0) < fraction * 2^64: a document is held out in every corpus and run, or in none.
bool is_held_out(std::string_view text, double fraction);

}  // namespace millrace
