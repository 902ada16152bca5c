#include "cli/console/text_stream.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

const std::string kReplacement = "\xEF\xBF\xBD";

/// Ids are bytes of UTF-8. As in SentencePiece, each byte that is not part of a complete character becomes U+FFFD.
std::string decode(const std::vector<TokenId>& ids) {
  std::string text;
  for (std::size_t i = 0; i < ids.size();) {
    const auto byte = static_cast<unsigned char>(ids[i]);
    const std::size_t length = byte < 0x80 ? 1 : byte < 0xC0 ? 0 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    bool whole = length > 0 && i + length <= ids.size();
    for (std::size_t k = 1; whole && k < length; ++k) whole = (ids[i + k] & 0xC0) == 0x80;
    if (!whole) {
      text += kReplacement;
      ++i;
      continue;
    }
    for (std::size_t k = 0; k < length; ++k) text += static_cast<char>(ids[i + k]);
    i += length;
  }
  return text;
}

class TextStreamTest : public testing::Test {
 protected:
  void add(const std::string& bytes) {
    for (const char byte : bytes) stream_.add({static_cast<unsigned char>(byte)});
  }
  std::vector<std::string> shown_;
  TextStream stream_{decode, [this](std::string_view text) { shown_.emplace_back(text); }};
};

TEST_F(TextStreamTest, ShowsWholeCharactersAsTheyCome) {
  add("a\u00e9\u3042\U0001F600b");
  EXPECT_EQ(shown_, (std::vector<std::string>{"a", "\u00e9", "\u3042", "\U0001F600", "b"}));
  stream_.finish();
  EXPECT_EQ(shown_.size(), 5U);
}

TEST_F(TextStreamTest, ShowsHalfACharacterOnlyAtTheEnd) {
  add("a\xE3\x81");
  EXPECT_EQ(shown_, (std::vector<std::string>{"a"}));
  stream_.finish();
  EXPECT_EQ(shown_.back(), kReplacement + kReplacement);
}

TEST_F(TextStreamTest, GoesOnBehindBytesThatMakeNoCharacter) {
  add("a\xE3\x81z\u00e9");
  EXPECT_EQ(shown_, (std::vector<std::string>{"a", kReplacement + kReplacement + "z", "\u00e9"}));
}

TEST_F(TextStreamTest, ShowsAPromptAtOnce) {
  stream_.add({'t', 'h', 'e'});
  EXPECT_EQ(shown_, (std::vector<std::string>{"the"}));
}

}  // namespace
}  // namespace millrace
