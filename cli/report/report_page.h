#pragma once

#include <string>

namespace millrace {

/// The report as one self-contained page: opens from a file, needs no network. `data`: from report_json().
/// Throws ConfigError, saying what to run, if the program was built without uPlot.
std::string report_page(const std::string& data);

}  // namespace millrace
