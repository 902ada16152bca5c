#pragma once

#include <string>
#include <vector>

namespace millrace {

/// A text table: columns as wide as their widest cell, numbers right-aligned. UTF-8 aware (one column per code point).
class TextTable {
 public:
  enum class Align : bool { left, right };
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

}  // namespace millrace
