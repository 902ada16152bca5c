#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// The text of a file that is embedded in the program (cmake/embed_text.cmake): the files of cli/report/, and uPlot's
/// "uPlot.iife.min.js", "uPlot.min.css", "LICENSE". Empty if the build had no such file.
std::string_view embedded_text(std::string_view name);

/// The report as one self-contained page: opens from a file, needs no network. `data`: from report_json().
/// Throws ConfigError, saying what to run, if the program was built without uPlot.
std::string report_page(const std::string& data);

}  // namespace millrace
