#include "stages/tokenizer/piece_trie.h"

#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/property.h"

namespace millrace {
namespace {

/// Ids of all pieces that `text` begins with, shortest first.
std::vector<std::int32_t> prefixes(const PieceTrie& trie, std::string_view text) {
  std::vector<std::int32_t> ids;
  std::uint32_t base = PieceTrie::kRoot;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const std::uint32_t index = trie.child(base, byte);
    if (PieceTrie::label_of(trie[index]) != byte) break;
    if (!std::isnan(trie[index].score)) ids.push_back(trie.id(index));
    base = PieceTrie::base_of(trie[index]);
  }
  return ids;
}

TEST(PieceTrie, FindsEveryPieceAndNoOther) {
  expect_holds(300, [](const std::set<std::vector<char>>& keys, std::vector<char> probe) {
    std::map<std::string, std::int32_t> pieces;
    std::vector<PieceTrie::Entry> entries;
    for (const std::vector<char>& key : keys) {
      const std::string text(key.begin(), key.end());
      if (text.empty() || text.find('\0') != std::string::npos) continue;
      const auto id = static_cast<std::int32_t>(entries.size());
      pieces[text] = id;
      entries.push_back({text, -1.0F, id});
    }
    const PieceTrie trie(entries);
    std::vector<std::string> probes{std::string(probe.begin(), probe.end()), ""};
    for (const auto& [text, id] : pieces) probes.insert(probes.end(), {text, text + "x", text + std::string(1, '\0')});
    for (const std::string& text : probes) {
      std::vector<std::int32_t> expected;
      for (std::size_t length = 1; length <= text.size(); ++length) {
        if (const auto found = pieces.find(text.substr(0, length)); found != pieces.end())
          expected.push_back(found->second);
      }
      RC_ASSERT(prefixes(trie, text) == expected);
    }
  });
}

TEST(PieceTrie, HoldsNodesWithEveryByteBelowThem) {
  std::vector<PieceTrie::Entry> entries;
  for (int a = 1; a < 256; ++a) {
    for (int b = 1; b < 256; b += a % 7 + 1) {
      entries.push_back({{static_cast<char>(a), static_cast<char>(b)}, -1.0F, 1000 * a + b});
    }
  }
  const PieceTrie trie(entries);
  for (const PieceTrie::Entry& entry : entries)
    EXPECT_EQ(prefixes(trie, entry.text), std::vector<std::int32_t>{entry.id});
}

TEST(PieceTrie, CanBeEmpty) {
  const PieceTrie trie({});
  for (int c = 0; c < 256; ++c) EXPECT_TRUE(prefixes(trie, std::string(1, static_cast<char>(c))).empty());
}

}  // namespace
}  // namespace millrace
