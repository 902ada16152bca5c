#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// A text as one word of a shell's command line, quoted where it must be: for commands that messages suggest.
std::string shell_word(std::string_view text);

}  // namespace millrace
