#include "cli/report/report_page.h"

#include <functional>
#include <map>

#include "cli/console/embedded_text.h"
#include "stages/errors.h"

namespace millrace {
namespace {

std::string replaced(std::string_view text, char from, std::string_view to) {
  std::string out;
  for (const char c : text) {
    if (c == from)
      out += to;
    else
      out += c;
  }
  return out;
}

/// `text` with each {{name}} replaced; inserted text is not expanded again.
std::string filled(std::string_view text, const std::map<std::string_view, std::string>& values) {
  std::string out;
  while (true) {
    const std::size_t open = text.find("{{");
    if (open == std::string_view::npos) return out.append(text);
    const std::size_t close = text.find("}}", open);
    out.append(text.substr(0, open)).append(values.at(text.substr(open + 2, close - open - 2)));
    text.remove_prefix(close + 2);
  }
}

}  // namespace

std::string report_page(const std::string& data) {
  const std::string_view chart_library = embedded_text("uPlot.iife.min.js");
  if (chart_library.empty())
    throw ConfigError(
        "this program was built without uPlot, which draws the report's charts. Run scripts/deps.sh run, then "
        "cmake --preset release && cmake --build --preset release. (--json prints the report's data without it)");
  std::string script;
  for (const char* file : {"format.js", "line_charts.js", "heat_maps.js", "mixing.js", "page.js"})
    script += embedded_text(file);
  return filled(embedded_text("page.html"), {{"library_style", std::string(embedded_text("uPlot.min.css"))},
                                             {"style", std::string(embedded_text("style.css"))},
                                             {"library", std::string(chart_library)},
                                             {"licence", replaced(embedded_text("LICENSE"), '<', "&lt;")},
                                             {"data", replaced(data, '<', "\\u003c")},
                                             {"script", script}});
}

}  // namespace millrace
