#include "cli/console/text_table.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/console/terminal_text.h"

namespace millrace {
namespace {

std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string TextTable::text() const {
  std::vector<std::vector<std::string>> lines(1);  // The titles, then the rows.
  for (const Column& column : columns_) lines.front().push_back(shown_in_line(column.title));
  for (const auto& row : rows_) {
    lines.emplace_back();
    for (const std::string& cell : row) lines.back().push_back(shown_in_line(cell));
  }
  std::vector<std::size_t> widths(columns_.size());
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));

  std::string out;
  const auto add_cell = [&](std::size_t i, const std::string& cell) {
    const std::string padding(widths[i] - width_of(cell), ' ');
    if (i > 0) out += "  ";
    if (columns_[i].align == Align::right) out += padding + cell;
    if (columns_[i].align == Align::left) out += i + 1 < columns_.size() ? cell + padding : cell;
  };
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) add_cell(i, line[i]);
    out += '\n';
  }
  return out;
}

std::string percent(double fraction) {
  return fmt::format("{:.2f} %", 100 * fraction);
}

}  // namespace millrace
