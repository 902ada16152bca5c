#include "stages/tokenizer/long_word_search.h"

#include <gtest/gtest.h>

#include "stages/philox.h"
#include "tests/property.h"
#include "tests/stages/tokenizer/random_model.h"
#include "tests/stages/tokenizer/unigram_peer.h"

namespace millrace {
namespace {

using Found = std::vector<std::pair<std::int32_t, std::uint32_t>>;

/// A vocabulary's two searches.
struct Searches {
  explicit Searches(std::string model)
      : bytes(std::move(model)),
        file(read_vocabulary_file(bytes).value()),
        normalizer(file),
        pieces(file, normalizer) {}

  Found exactly(std::string_view word, float& sum) {
    search.search_exactly(word, sum);
    Found found;
    for (const SearchedPiece& piece : search.pieces()) found.emplace_back(piece.id, piece.length);
    return found;
  }
  Found in_little_memory(std::string_view word, float& sum) {
    long_words.search(word, sum);
    Found found;
    for (SearchedPiece piece; long_words.next(piece);) found.emplace_back(piece.id, piece.length);
    return found;
  }

  std::string bytes;
  VocabularyFile file;
  TextNormalizer normalizer;
  UnigramPieces pieces;
  UnigramSearch search{pieces};
  LongWordSearch long_words{pieces};
};

TEST(LongWordSearch, FindsWhatTheExactSearchFindsForAnySumBefore) {
  expect_holds(500, [](std::uint64_t seed) {
    ItemRng rng(seed, Purpose::generation, 0);
    const auto draw = [&rng](std::uint64_t below) { return static_cast<std::size_t>(rng.below(below)); };
    Searches searches(random_model(draw).bytes());
    for (const float before : {0.0F, -1.5F, -3e4F, -2e7F}) {
      std::string word = random_text(draw);
      word += random_text(draw);
      float sum = before, other = before;
      RC_ASSERT(searches.in_little_memory(word, sum) == searches.exactly(word, other));
      RC_ASSERT(sum == other);
    }
  });
}

TEST(LongWordSearch, TakesPiecesOfAnyLength) {
  ModelFile model;
  model.add_special_pieces();
  model.pieces.push_back({"a", -5, PieceType::normal});
  model.pieces.push_back({std::string(300, 'a'), -9, PieceType::normal});
  Searches searches(model.bytes());
  const std::string word(100'001, 'a');
  float sum = 0, other = 0;
  EXPECT_EQ(searches.in_little_memory(word, sum), searches.exactly(word, other));
  EXPECT_EQ(sum, other);
}

TEST(LongWordSearch, MakesOneUnknownPieceOfWhatHasNoSum) {
  ModelFile model;
  model.add_special_pieces();
  model.pieces.push_back({"a", -3e38F, PieceType::normal});
  Searches searches(model.bytes());
  const std::string word(1000, 'a');
  float sum = 0, other = 0;
  EXPECT_EQ(searches.in_little_memory(word, sum), searches.exactly(word, other));
}

/// Runs of one character, longer than the search that keeps the sum of every position handles.
TEST(LongWordSearch, GivesTheEncoderTheLibrarysIdsOfLongRuns) {
  ModelFile model;
  model.byte_fallback = true;
  model.add_special_pieces();
  for (const auto& [text, score] : std::vector<std::pair<std::string, float>>{
           {"\xE2\x96\x81", -3.1F}, {"-", -5.37F}, {"--", -6.11F}, {"----", -7.93F}, {"--------", -9.71F}})
    model.pieces.push_back({text, score, PieceType::normal});
  UnigramPeer peer(model.bytes());
  for (const std::size_t length : {4095U, 4096U, 4097U, 70'001U, 1'500'003U}) {
    const std::string text = "- " + std::string(length, '-') + " --\xC3\xA9 " + std::string(length / 3, '-');
    EXPECT_EQ(peer.ours(text), peer.theirs(text)) << length;
  }
  const std::string unknown = std::string(100'000, '-') + std::string(200'000, '\x07');
  EXPECT_EQ(peer.ours(unknown), peer.theirs(unknown));
}

}  // namespace
}  // namespace millrace
