#include "stages/tokenizer/text_normalizer.h"

#include <bit>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "stages/tokenizer/piece_trie.h"
#include "stages/utf8.h"

namespace millrace {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

unsigned char byte_at(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

/// Bytes of the character that `text` begins with; 0 where it is not valid UTF-8.
std::size_t utf8_length(std::string_view text) {
  const unsigned char lead = byte_at(text, 0);
  const std::size_t length = lead < kAscii ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(text, i) & 0xC0) != 0x80) return 0;
  }
  if (length < 3) return length;
  const unsigned char second = byte_at(text, 1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second >= 0xA0;
  const bool beyond_unicode = lead == 0xF4 && second >= 0x90;
  return overlong || surrogate || beyond_unicode ? 0 : length;
}

/// Branch-free, so that the compiler takes many bytes at once.
bool contains_blank_mark(std::string_view text) {
  unsigned found = 0;
  for (std::size_t i = 0; i + kBlankMark.size() <= text.size(); ++i) {
    found |= static_cast<unsigned>(text[i] == kBlankMark[0]) & static_cast<unsigned>(text[i + 1] == kBlankMark[1]) &
             static_cast<unsigned>(text[i + 2] == kBlankMark[2]);
  }
  return found != 0;
}

/// Each U+2581 of out[from:] becomes a blank.
void shorten_blank_marks(std::string& out, std::size_t from) {
  std::size_t to = from;
  for (std::size_t i = from; i < out.size(); ++to) {
    const bool mark = std::string_view(out).substr(i, kBlankMark.size()) == kBlankMark;
    out[to] = mark ? ' ' : out[i];
    i += mark ? kBlankMark.size() : 1;
  }
  out.resize(to);
}

/// The compiled map: a double array of 32-bit units as Darts-clone writes it, behind it the replacements, each ended by
/// a NUL. A unit's bits: 31 leaf, 8 has a leaf child, 9 offset is shifted by 8, 10-30 offset, 0-7 label; in a leaf 0-30
/// value.
class CharacterMap {
 public:
  explicit CharacterMap(std::string_view blob) {
    std::uint32_t bytes = 0;
    if (blob.size() > sizeof(bytes)) std::memcpy(&bytes, blob.data(), sizeof(bytes));
    if (bytes == 0 || bytes % sizeof(std::uint32_t) != 0 || bytes >= blob.size() - sizeof(bytes))
      throw std::invalid_argument("its character map is damaged");
    units_.resize(bytes / sizeof(std::uint32_t));
    std::memcpy(units_.data(), blob.data() + sizeof(bytes), bytes);
    replacements_ = blob.substr(sizeof(bytes) + bytes);
    if (replacements_.back() != '\0') throw std::invalid_argument("its character map is damaged");
  }

  struct Match {
    std::size_t length = 0;  ///< 0: no rule.
    std::string_view replacement;
  };
  Match longest(std::string_view text) const {
    Match match;
    std::size_t node = offset_of(units_[0]);
    for (std::size_t i = 0; i < text.size(); ++i) {
      node ^= byte_at(text, i);
      if (node >= units_.size() || (units_[node] & (kLeaf | 0xFFU)) != byte_at(text, i)) break;
      const std::uint32_t unit = units_[node];
      node ^= offset_of(unit);
      if ((unit >> 8 & 1U) == 0 || node >= units_.size()) continue;
      const std::size_t value = units_[node] & ~kLeaf;
      if (value >= replacements_.size()) continue;
      match = {i + 1, std::string_view(replacements_.data() + value)};
    }
    return match;
  }

  /// True if some rule is longer than the one character `first` and goes on with an ASCII character.
  bool goes_on_in_ascii(unsigned char first) const {
    const std::size_t node = offset_of(units_[0]) ^ first;
    if (node >= units_.size() || (units_[node] & (kLeaf | 0xFFU)) != first) return false;
    for (unsigned next = 0; next < kAscii; ++next) {
      const std::size_t child = node ^ offset_of(units_[node]) ^ next;
      if (child < units_.size() && (units_[child] & (kLeaf | 0xFFU)) == next) return true;
    }
    return false;
  }

 private:
  static constexpr std::uint32_t kLeaf = 1U << 31;
  static std::size_t offset_of(std::uint32_t unit) { return std::size_t{unit >> 10} << (unit >> 6 & 8U); }

  std::vector<std::uint32_t> units_;
  std::string_view replacements_;
};

PieceTrie trie_of_user_defined(const VocabularyFile& file) {
  std::vector<PieceTrie::Entry> entries;
  for (const VocabularyPiece& piece : file.pieces) {
    if (piece.type == PieceType::user_defined) entries.push_back({std::string(piece.text), 0.0F, 0});
  }
  return PieceTrie(std::move(entries));
}

}  // namespace

/// What a text begins with, and what it becomes.
struct TextNormalizer::Step {
  std::string_view normal;
  std::size_t consumed;
};

struct TextNormalizer::Rules {
  explicit Rules(const VocabularyFile& file) : user_defined(trie_of_user_defined(file)) {
    if (!file.character_map.empty()) map.emplace(file.character_map);
    for (unsigned c = 0; c < kAscii; ++c) {
      const char character = static_cast<char>(c);
      const CharacterMap::Match match = map ? map->longest({&character, 1}) : CharacterMap::Match{};
      const bool kept = match.length == 0 || match.replacement == std::string_view(&character, 1);
      const bool begins_piece = PieceTrie::label_of(user_defined[PieceTrie::kRoot ^ c]) == c;
      plain[c] = kept && !begins_piece && !(map && map->goes_on_in_ascii(static_cast<unsigned char>(c)));
    }
  }

  std::optional<CharacterMap> map;
  PieceTrie user_defined;
  std::array<bool, kAscii> plain{};  ///< Characters that are not changed unless a non-ASCII one follows.
};

TextNormalizer::TextNormalizer(const VocabularyFile& file)
    : dummy_prefix_(file.add_dummy_prefix),
      remove_extra_(file.remove_extra_whitespaces),
      escape_(file.escape_whitespaces),
      as_suffix_(file.whitespace_as_suffix) {
  if (!file.character_map.empty() || remove_extra_) rules_ = std::make_unique<const Rules>(file);
}

TextNormalizer::~TextNormalizer() = default;

void TextNormalizer::operator()(std::string_view text, std::string& out) const {
  out.clear();
  if (text.empty()) return;
  if (dummy_prefix_ && !as_suffix_) out.push_back(' ');
  if (rules_ == nullptr && is_utf8(text)) {
    const std::size_t from = out.size();
    out.append(text);
    if (escape_ && contains_blank_mark(text)) shorten_blank_marks(out, from);
  } else {
    if (!rewrite(text, out)) return;
  }
  if (dummy_prefix_ && as_suffix_) out.push_back(' ');
}

TextNormalizer::Step TextNormalizer::step(std::string_view text) const {
  if (rules_ != nullptr) {
    std::size_t longest = 0;
    const PieceTrie& pieces = rules_->user_defined;
    std::uint32_t base = PieceTrie::kRoot;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const PieceTrie::Unit& unit = pieces[pieces.child(base, byte_at(text, i))];
      if (PieceTrie::label_of(unit) != byte_at(text, i)) break;
      if (unit.score == 0) longest = i + 1;
      base = PieceTrie::base_of(unit);
    }
    if (longest > 0) return {text.substr(0, longest), longest};
    if (rules_->map) {
      const CharacterMap::Match match = rules_->map->longest(text);
      if (match.length > 0) return {match.replacement, match.length};
    }
  }
  const std::size_t length = utf8_length(text);
  return length > 0 ? Step{text.substr(0, length), length} : Step{kReplacement, 1};
}

bool TextNormalizer::rewrite(std::string_view text, std::string& out) const {
  if (remove_extra_) {
    while (!text.empty()) {
      const Step first = step(text);
      if (first.normal != " ") break;
      text.remove_prefix(first.consumed);
    }
    if (text.empty()) {
      out.clear();
      return false;
    }
  }
  const std::size_t from = out.size();
  bool after_blank = remove_extra_;
  const auto append = [&](std::string_view normal) {
    while (after_blank && normal.starts_with(' ')) normal.remove_prefix(1);
    if (normal.empty()) return;
    out.append(normal);
    after_blank = remove_extra_ && normal.ends_with(' ');
  };
  std::size_t i = 0;
  while (i < text.size()) {
    const unsigned char c = byte_at(text, i);
    const bool before_ascii = i + 1 == text.size() || byte_at(text, i + 1) < kAscii;
    if (rules_ != nullptr && c < kAscii && before_ascii && rules_->plain[c]) {
      append(text.substr(i, 1));
      ++i;
      continue;
    }
    const Step next = step(text.substr(i));
    append(next.normal);
    if (!remove_extra_) after_blank = false;
    i += next.consumed;
  }
  if (escape_) shorten_blank_marks(out, from);
  while (remove_extra_ && out.ends_with(' ')) out.pop_back();
  return true;
}

std::string TextNormalizer::piece_form(std::string_view piece) const {
  std::string form(piece);
  if (!escape_) return form;
  if (form.find(' ') != std::string::npos) return {};
  shorten_blank_marks(form, 0);
  return form;
}

}  // namespace millrace
