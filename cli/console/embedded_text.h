#pragma once

#include <string_view>

namespace millrace {

/// The text of a file that is embedded in the program (cmake/embed_text.cmake): those of cli/report/ and of
/// cli/export/, and uPlot's "uPlot.iife.min.js", "uPlot.min.css", "LICENSE". Empty if the build had no such file.
std::string_view embedded_text(std::string_view name);

}  // namespace millrace
