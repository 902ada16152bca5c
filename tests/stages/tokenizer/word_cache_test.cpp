#include "stages/tokenizer/word_cache.h"

#include <string>

#include <gtest/gtest.h>

namespace millrace {
namespace {

WordKey key_of(const std::string& word) {
  return {(word + std::string(WordKey::kMaxBytes, '~')).data(), word.size()};
}

void keep(WordCache& cache, const std::string& word, SumClass sums, std::int32_t id) {
  WordCache::Entry& entry = cache.insert(key_of(word), sums);
  entry.largest_sum = 100;
  entry.pieces = 1;
  entry.ids[0] = id;
}

TEST(WordCache, FindsWordsByAllTheirBytesAndNoOther) {
  WordCache cache(1 << 16);
  const std::string longest = "abcdefghijklmnopqrstuvwx";
  for (std::size_t length = 2; length <= longest.size(); ++length)
    keep(cache, longest.substr(0, length), {}, static_cast<std::int32_t>(length));
  for (std::size_t length = 2; length <= longest.size(); ++length) {
    const WordCache::Entry* entry = cache.find(key_of(longest.substr(0, length)));
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(entry->ids[0], static_cast<std::int32_t>(length));
  }
  EXPECT_EQ(cache.find(key_of("abd")), nullptr);
  EXPECT_EQ(cache.find(key_of(std::string("ab\0", 3))), nullptr);
}

TEST(WordCache, TellsSumsApartByBinadeAndParity) {
  WordCache cache(1 << 16);
  const SumClass even = SumClass::of(-1024.0F);
  const SumClass odd = SumClass::of(-1024.0001220703125F);
  EXPECT_EQ(even.binade, odd.binade);
  EXPECT_NE(even.parity, odd.parity);
  EXPECT_EQ(even.binade_end(), 2048.0F);
  keep(cache, "word", even, 1);
  EXPECT_NE(cache.find(key_of("word"), even), nullptr);
  EXPECT_EQ(cache.find(key_of("word"), odd), nullptr);
  EXPECT_EQ(cache.find(key_of("word"), SumClass::of(-2048.0F)), nullptr);
  EXPECT_EQ(cache.find(key_of("word")), nullptr);
  keep(cache, "other", {even.binade, SumClass::kAny}, 2);
  EXPECT_NE(cache.find(key_of("other"), even), nullptr);
  EXPECT_NE(cache.find(key_of("other"), odd), nullptr);
}

TEST(WordCache, HasNoClassForSumsNearZero) {
  EXPECT_FALSE(SumClass::has_class(0));
  EXPECT_FALSE(SumClass::has_class(-0.5F));
  EXPECT_TRUE(SumClass::has_class(-1.0F));
  EXPECT_FALSE(SumClass::has_class(-3e38F));
}

TEST(WordCache, KeepsToItsSizeAndKeepsWhatIsUsed) {
  WordCache cache(64 * 64);
  EXPECT_EQ(cache.bytes(), 64U * 64U);
  keep(cache, "often", {}, 7);
  int survived = 0;
  for (int n = 0; n < 1000; ++n) {
    if (cache.find(key_of("often")) != nullptr) {
      ++survived;
    } else {
      keep(cache, "often", {}, 7);
    }
    keep(cache, "word" + std::to_string(n), {}, n);
  }
  EXPECT_GT(survived, 950);
}

}  // namespace
}  // namespace millrace
