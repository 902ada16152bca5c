#include "cli/console/terminal_text.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/console/text_table.h"
#include "tests/property.h"
#include "tests/utf8_text.h"

namespace millrace {
namespace {

constexpr int kCases = 500;

bool has_control(const std::string& text, bool lines_allowed) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (lines_allowed && (byte == '\n' || byte == '\t')) continue;
    const bool begins_pair = byte == 0xC2 && i + 1 < text.size();
    if (byte < 0x20 || byte == 0x7F || (begins_pair && static_cast<unsigned char>(text[i + 1]) <= 0x9F)) return true;
  }
  return false;
}

TEST(ShownText, HasNoControlCharacter) {
  expect_holds(kCases, [] {
    const std::string text = *utf8_text();
    RC_ASSERT(!has_control(shown(text), true));
    RC_ASSERT(!has_control(shown_in_line(text), false));
  });
}

TEST(ShownText, IsTheSameJsonWhereItIsJson) {
  expect_holds(kCases, [] {
    const nlohmann::json json{{*utf8_text(), *utf8_text()}};
    RC_ASSERT(nlohmann::json::parse(shown(json.dump(1))) == json);
  });
}

TEST(ShownText, IsAsItWasWithoutControls) {
  EXPECT_EQ(shown("plain\ttext\nof \u00e9\u4e2d\U0001F600 and caf\xE9"),
            "plain\ttext\nof \u00e9\u4e2d\U0001F600 and caf\xE9");
  EXPECT_EQ(shown("\x1b[31m\r\u009b\x7f\x9b"), "\\u001b[31m\\u000d\\u009b\\u007f\\u009b");
  EXPECT_EQ(shown_in_line("a\nb\tc"), "a\\u000ab\\u0009c");
}

TEST(TextTable, KeepsARowOnItsLineWhateverIsInIt) {
  TextTable table({{"name", Align::left}, {"number"}});
  table.add({"a\nb\x1b[1m", "1"});
  EXPECT_EQ(table.text(),
            "name               number\n"
            "a\\u000ab\\u001b[1m       1\n");
}

}  // namespace
}  // namespace millrace
