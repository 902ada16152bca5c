#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// The text of a file that the build put into the program (cmake/embed_text.cmake): those of cli/report/, and of uPlot
/// "uPlot.iife.min.js", "uPlot.min.css", "LICENSE". Empty if the build had no such file.
std::string_view embedded_text(std::string_view name);

/// The report's page with everything in it: opens from a file, asks no network. `data` is report_json's.
/// Throws ConfigError, saying what to run, if the program was built without uPlot.
std::string report_page(const std::string& data);

}  // namespace millrace
