#include "stages/tokenizer/word_cuts.h"

#include <string>

#include <gtest/gtest.h>

namespace millrace {
namespace {

std::vector<std::string> words_of(const std::vector<std::string_view>& pieces, const std::string& text) {
  const WordCuts cuts(pieces);
  const std::string padded = text + std::string(8, '\0');
  std::vector<std::string> words;
  const char* const end = padded.data() + text.size();
  for (const char* at = padded.data(); at < end;) {
    const char* const next = cuts.word_end(at, end);
    words.emplace_back(at, next);
    at = next;
  }
  return words;
}

using Words = std::vector<std::string>;

TEST(WordCuts, LieWhereNoPieceHasBothNeighbours) {
  EXPECT_EQ(words_of({" a", "ab", "--", "b"}, " ab ab--b-"), (Words{" ab", " ab", "--", "b", "-"}));
  EXPECT_EQ(words_of({" a", "ab", "1"}, " ab\n\nab12"), (Words{" ab", "\n", "\n", "ab", "1", "2"}));
}

TEST(WordCuts, LieBetweenLongerCharactersToo) {
  EXPECT_EQ(words_of({"\xE6\x97\xA5\xE6\x9C\xAC"}, "\xE6\x97\xA5\xE6\x9C\xAC\xE6\x97\xA5"),
            (Words{"\xE6\x97\xA5\xE6\x9C\xAC", "\xE6\x97\xA5"}));
  EXPECT_EQ(words_of({"a\xC3\xA9", "\xC3\xA9z"}, "a\xC3\xA9z\xC3\xA9"), (Words{"a\xC3\xA9z", "\xC3\xA9"}));
}

TEST(WordCuts, TellWhetherABlankCanStandInsideAWord) {
  EXPECT_TRUE(WordCuts({" a", "  "}).words_end_at_blanks() == false);
  EXPECT_TRUE(WordCuts({" a", "b"}).words_end_at_blanks());
  EXPECT_FALSE(WordCuts({"a b"}).words_end_at_blanks());
}

}  // namespace
}  // namespace millrace
