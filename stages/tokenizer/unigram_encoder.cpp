#include "stages/tokenizer/unigram_encoder.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include <fmt/format.h>

#include "stages/utf8.h"

namespace millrace {
namespace {

constexpr std::size_t kPadding = 32;
constexpr std::size_t kBatch = 64;
constexpr std::size_t kLongWord = 4096;      ///< Bytes from which on a word is searched in little memory.
constexpr std::size_t kSlice = 64 << 10;     ///< Bytes of text whose ids are gathered before they are handed out.
constexpr std::size_t kIdsAByte = 3;         ///< At most: a blank may be three byte pieces.
constexpr std::size_t kLargeText = 1 << 20;  ///< Bytes.
constexpr float kFarSum = 1 << 20;

std::vector<std::string> piece_forms(const VocabularyFile& file, const TextNormalizer& normalizer) {
  std::vector<std::string> forms;
  for (const VocabularyPiece& piece : file.pieces) {
    if (piece.type == PieceType::normal || piece.type == PieceType::user_defined)
      forms.push_back(normalizer.piece_form(piece.text));
  }
  return forms;
}

WordCuts cuts_of(const VocabularyFile& file, const TextNormalizer& normalizer) {
  const std::vector<std::string> forms = piece_forms(file, normalizer);
  return WordCuts({forms.begin(), forms.end()});
}

/// The byte of a piece "<0x0A>"; -1: it is none.
int byte_of(std::string_view piece) {
  for (int byte = 0; byte < 256; ++byte) {
    if (piece == fmt::format("<0x{:02X}>", byte)) return byte;
  }
  return -1;
}

}  // namespace

std::string UnigramEncoder::why_not(const VocabularyFile& file) {
  if (file.model_type != "unigram") return fmt::format("it is of type {}, not unigram", file.model_type);
  if (!file.unknown_option.empty())
    return fmt::format("it has an option that Millrace does not know: {}", file.unknown_option);
  if (file.count(PieceType::unknown) != 1) return "it has not one unknown piece";
  if (file.byte_fallback && file.count(PieceType::byte) != 256) return "it has not 256 byte pieces";
  if (!file.byte_fallback && file.count(PieceType::byte) != 0) return "it has byte pieces without byte fallback";
  std::unordered_set<std::string_view> seen(file.pieces.size());
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    const VocabularyPiece& piece = file.pieces[id];
    if (piece.text.empty()) return fmt::format("piece {} is empty", id);
    if (piece.text.find('\0') != std::string_view::npos) return fmt::format("piece {} has a NUL byte", id);
    if (!is_utf8(piece.text)) return fmt::format("piece {} is not valid UTF-8", id);
    if (!std::isfinite(piece.score)) return fmt::format("piece {} has no finite score", id);
    if (!seen.insert(piece.text).second) return fmt::format("piece {} stands there twice", id);
  }
  return {};
}

UnigramEncoder::UnigramEncoder(const VocabularyFile& file)
    : normalizer_(file),
      pieces_(file, normalizer_),
      cuts_(cuts_of(file, normalizer_)),
      byte_fallback_(file.byte_fallback),
      unknown_(file.unk()),
      may_be_invalid_(!file.character_map.empty()) {
  for (std::size_t c = 0; c < singles_.size(); ++c) {
    const std::uint32_t index = pieces_.trie.child(PieceTrie::kRoot, static_cast<unsigned char>(c));
    const PieceTrie::Unit& unit = pieces_.trie[index];
    Single& single = singles_[c];
    if (PieceTrie::label_of(unit) != c || std::isnan(unit.score)) {
      single.score = pieces_.unknown_score;
    } else {
      single = {pieces_.trie.id(index), unit.score, unit.score == PieceTrie::kUserDefined};
    }
  }
  if (byte_fallback_ && normalizer_.escapes() && singles_[' '].id == SearchedPiece::kUnknown)
    most_ids_a_byte_ = kIdsAByte;
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    if (file.pieces[id].type != PieceType::byte) continue;
    const int byte = byte_of(file.pieces[id].text);
    if (byte >= 0) byte_pieces_[static_cast<std::size_t>(byte)] = static_cast<TokenId>(id);
  }
}

/// The encoding of one text.
class UnigramEncoder::Run {
 public:
  Run(const UnigramEncoder& encoder, Memory& memory, std::vector<TokenId>& ids)
      : encoder_(encoder), memory_(memory), ids_(ids), out_(memory.ids.data()) {}

  void words(const char* begin, const char* end) {
    while (begin < end) {
      begin = words(begin, begin + std::min<std::ptrdiff_t>(kSlice, end - begin), end);
      hand_out();
    }
  }

  void exactly(std::string_view word) {
    if (word.size() > kLongWord) return long_word(word);
    memory_.search.search_exactly(word, sum_);
    emit_found(word);
  }

  void hand_out() {
    ids_.insert(ids_.end(), static_cast<const TokenId*>(memory_.ids.data()), static_cast<const TokenId*>(out_));
    out_ = memory_.ids.data();
  }

 private:
  /// Words up to `enough` or the first end behind it, which is the result.
  const char* words(const char* begin, const char* enough, const char* end) {
    struct Word {
      const char* begin = nullptr;
      WordKey key;
    };
    std::array<Word, kBatch> batch;
    const char* at = begin;
    while (at < enough) {
      std::size_t count = 0;
      const SumClass sums = is_far() ? SumClass::of(sum_) : SumClass{};
      for (; count < kBatch && at < enough; ++count) {
        const char* const next = encoder_.cuts_.word_end(at, end);
        const auto length = static_cast<std::size_t>(next - at);
        Word& word = batch[count];
        word.begin = at;
        at = next;
        if (length <= WordKey::kMaxBytes && (length > 1)) {
          word.key = WordKey(word.begin, length);
          memory_.cache.prefetch(word.key, sums);
        } else {
          word.key.length = static_cast<std::uint32_t>(length);
        }
      }
      for (std::size_t i = 0; i < count; ++i) {
        if (batch[i].key.length == 1) {
          single(batch[i].begin);
        } else if (batch[i].key.length <= WordKey::kMaxBytes) {
          cached(batch[i].begin, batch[i].key);
        } else {
          exactly({batch[i].begin, batch[i].key.length});
        }
      }
    }
    return at;
  }

  void long_word(std::string_view word) {
    memory_.long_words.search(word, sum_);
    hand_out();
    std::size_t begin = 0;
    for (SearchedPiece piece; memory_.long_words.next(piece); begin += piece.length) {
      emit_piece(piece, word.substr(begin));
      if (out_ >= memory_.ids.data() + kSlice) hand_out();
    }
    hand_out();
    memory_.long_words.clear();
  }

  void single(const char* at) {
    const Single& single = encoder_.singles_[static_cast<unsigned char>(*at)];
    if (single.searched) return exactly({at, 1});
    sum_ += single.score;
    if (single.id != SearchedPiece::kUnknown) {
      emit(single.id);
    } else {
      emit_unknown({at, 1});
    }
  }

  void cached(const char* at, const WordKey& key) {
    if (is_far()) return cached_far({at, key.length}, key);
    const WordCache::Entry* entry = memory_.cache.find(key);
    if (entry == nullptr) return first_time({at, key.length}, key);
    if (std::abs(sum_) < entry->largest_sum) return take(*entry);
    if (!take_by_class(key)) search_by_class({at, key.length}, key);
  }

  /// The sum is so large that most segmentations depend on it: one look-up must serve for all words.
  bool is_far() const { return std::abs(sum_) >= kFarSum && SumClass::has_class(sum_); }

  void cached_far(std::string_view word, const WordKey& key) {
    if (take_by_class(key)) return;
    const WordCache::Entry* entry = memory_.cache.find(key);
    if (entry == nullptr) return first_time(word, key);
    if (!(std::abs(sum_) < entry->largest_sum)) return search_by_class(word, key);
    const WordCache::Entry known = *entry;
    const SumClass sums{SumClass::of(sum_).binade, SumClass::kAny};
    if (sums.binade_end() <= known.largest_sum) keep(memory_.cache.insert(key, sums), known);
    take(known);
  }

  void first_time(std::string_view word, const WordKey& key) {
    UnigramSearch& search = memory_.search;
    const float largest_sum = search.search(word);
    if (search.has_user_defined()) return exactly(word);
    const bool fits = search.pieces().size() <= WordCache::kMaxPieces && !search.has_unknown();
    if (fits) keep(memory_.cache.insert(key, {}), search, largest_sum);
    if (!(std::abs(sum_) < largest_sum)) return fits ? search_by_class(word, key) : exactly(word);
    for (const SearchedPiece& piece : search.pieces()) {
      sum_ += piece.id == SearchedPiece::kUnknown ? encoder_.pieces_.unknown_score : score_of(piece.id);
    }
    emit_found(word);
  }

  bool take_by_class(const WordKey& key) {
    if (!SumClass::has_class(sum_)) return false;
    const WordCache::Entry* entry = memory_.cache.find(key, SumClass::of(sum_));
    if (entry == nullptr || !(std::abs(sum_) < entry->largest_sum)) return false;
    take(*entry);
    return true;
  }

  void search_by_class(std::string_view word, const WordKey& key) {
    if (!SumClass::has_class(sum_)) return exactly(word);
    SumClass sums = SumClass::of(sum_);
    UnigramSearch& search = memory_.search;
    search.search_exactly(word, sum_);
    if (search.validity().translates && search.pieces().size() <= WordCache::kMaxPieces) {
      if (search.validity().any_parity) sums.parity = SumClass::kAny;
      keep(memory_.cache.insert(key, sums), search, search.validity().largest_sum);
    }
    emit_found(word);
  }

  static void keep(WordCache::Entry& entry, const UnigramSearch& search, float largest_sum) {
    entry.largest_sum = largest_sum;
    entry.pieces = 0;
    for (const SearchedPiece& piece : search.pieces()) entry.ids[entry.pieces++] = piece.id;
  }
  static void keep(WordCache::Entry& entry, const WordCache::Entry& known) {
    entry.largest_sum = known.largest_sum;
    entry.pieces = known.pieces;
    entry.ids = known.ids;
  }

  void take(const WordCache::Entry& entry) {
    for (std::size_t i = 0; i < entry.pieces; ++i) {
      sum_ += score_of(entry.ids[i]);
      *out_++ = entry.ids[i];
    }
    after_unknown_ = false;
  }

  float score_of(TokenId id) const { return encoder_.pieces_.scores[static_cast<std::size_t>(id)]; }

  void emit(TokenId id) {
    *out_++ = id;
    after_unknown_ = false;
  }

  void emit_found(std::string_view word) {
    for (const SearchedPiece& piece : memory_.search.pieces()) {
      emit_piece(piece, word);
      word.remove_prefix(piece.length);
    }
  }

  void emit_piece(const SearchedPiece& piece, std::string_view word) {
    if (piece.id != SearchedPiece::kUnknown) {
      emit(piece.id);
    } else {
      emit_unknown(word.substr(0, piece.length));
    }
  }

  /// The bytes of a character that no piece has, or the unknown piece, once for a run of such characters.
  void emit_unknown(std::string_view character) {
    if (encoder_.byte_fallback_) {
      if (character == " " && encoder_.normalizer_.escapes()) character = kBlankMark;
      for (const char byte : character) {
        *out_++ = encoder_.byte_pieces_[static_cast<unsigned char>(byte)];
        if (out_ == memory_.ids.data() + memory_.ids.size()) hand_out();
      }
    } else if (!after_unknown_) {
      *out_++ = encoder_.unknown_;
    }
    after_unknown_ = true;
  }

  const UnigramEncoder& encoder_;
  Memory& memory_;
  std::vector<TokenId>& ids_;
  float sum_ = 0;  ///< Of the scores so far, added as libsentencepiece adds them.
  TokenId* out_;
  bool after_unknown_ = false;
};

UnigramEncoder::Memory::Memory(const UnigramEncoder& encoder, std::size_t cache_bytes)
    : search(encoder.pieces_),
      long_words(encoder.pieces_),
      cache(cache_bytes),
      // A slice's last word may reach behind it.
      ids(kIdsAByte * (kSlice + kLongWord)) {}

void UnigramEncoder::encode(std::string_view text, Memory& memory, std::vector<TokenId>& ids) const {
  memory.text.clear();
  memory.text.reserve(text.size() + kBlankMark.size() + kPadding);
  normalizer_(text, memory.text);
  const std::size_t size = memory.text.size();
  if (size == 0) return;
  const bool is_valid = !may_be_invalid_ || is_utf8(memory.text);
  memory.text.append(kPadding, '\0');
  // Room that is never written to costs addresses only; growing would copy.
  if (size >= kLargeText) ids.reserve(ids.size() + most_ids_a_byte_ * size + 1);
  Run run(*this, memory, ids);
  if (is_valid) {
    run.words(memory.text.data(), memory.text.data() + size);
  } else {
    run.exactly({memory.text.data(), size});
    run.hand_out();
  }
  if (memory.text.capacity() >= kLargeText) memory.text = {};
}

}  // namespace millrace
