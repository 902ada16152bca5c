#pragma once

#include <string>
#include <vector>

namespace millrace {

enum class Align : bool { left, right };

/// A text table: columns as wide as their widest cell, numbers right-aligned. UTF-8 aware (one column per code point).
class TextTable {
 public:
  struct Column {
    std::string title;
    Align align = Align::right;
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string text() const;  ///< Ends in a newline.

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// 0.125 as "12.50 %".
std::string percent(double fraction);

}  // namespace millrace
