#include "stages/vocabulary_facts.h"

#include <optional>

namespace millrace {
namespace {

struct Field {
  std::uint32_t number = 0;
  std::uint64_t value = 0;   // Varints.
  std::string_view content;  // Strings and messages.
};

/// Walks the fields of one protobuf message.
class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {}

  /// Nothing at the end, or where the bytes are no message.
  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    Field field;
    const std::uint64_t key = varint();
    field.number = static_cast<std::uint32_t>(key >> 3);
    switch (key & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        skip(8);
        break;
      case 2:
        field.content = skip(varint());
        break;
      case 5:
        skip(4);
        break;
      default:
        good_ = false;
    }
    good_ = good_ && field.number != 0;
    return good_ ? std::optional(field) : std::nullopt;
  }
  bool good() const { return good_; }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
    good_ = false;
    return 0;
  }
  std::string_view skip(std::uint64_t bytes) {
    if (bytes > rest_.size()) {
      good_ = false;
      return {};
    }
    const std::string_view content = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return content;
  }

  std::string_view rest_;
  bool good_ = true;
};

// Field numbers of sentencepiece_model.proto.
constexpr std::uint32_t kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3;
constexpr std::uint32_t kPieceType = 3;
constexpr std::uint32_t kModelType = 3, kSplitDigits = 25, kByteFallback = 35;
constexpr std::uint32_t kUnk = 40, kBos = 41, kEos = 42, kPad = 43;
constexpr std::uint32_t kName = 1, kCharacterMap = 2, kDummyPrefix = 3, kRemoveWhitespaces = 4, kEscapeWhitespaces = 5;

void read_piece(std::string_view bytes, VocabularyFacts& facts) {
  std::uint64_t type = 1;
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->number == kPieceType) type = field->value;
  }
  ++facts.pieces;
  if (type < facts.of_type.size()) ++facts.of_type[type];
}

void read_trainer(std::string_view bytes, VocabularyFacts& facts) {
  static constexpr std::array<const char*, 5> kTypes{"unknown", "unigram", "bpe", "word", "char"};
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->number == kModelType) facts.model_type = kTypes[field->value < kTypes.size() ? field->value : 0];
    if (field->number == kSplitDigits) facts.split_digits = field->value != 0;
    if (field->number == kByteFallback) facts.byte_fallback = field->value != 0;
    if (field->number == kUnk) facts.unk = static_cast<int>(field->value);
    if (field->number == kBos) facts.bos = static_cast<int>(field->value);
    if (field->number == kEos) facts.eos = static_cast<int>(field->value);
    if (field->number == kPad) facts.pad = static_cast<int>(field->value);
  }
}

void read_normalizer(std::string_view bytes, VocabularyFacts& facts) {
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->number == kName) facts.normalizer = field->content;
    if (field->number == kCharacterMap) facts.character_map_bytes = field->content.size();
    if (field->number == kDummyPrefix) facts.add_dummy_prefix = field->value != 0;
    if (field->number == kRemoveWhitespaces) facts.remove_extra_whitespaces = field->value != 0;
    if (field->number == kEscapeWhitespaces) facts.escape_whitespaces = field->value != 0;
  }
}

}  // namespace

bool is_vocabulary(std::string_view bytes) {
  bool any_piece = false;
  Message message(bytes);
  while (const auto field = message.next())
    any_piece = any_piece || (field->number == kPieces && !field->content.empty());
  return any_piece && message.good();
}

VocabularyFacts facts_of(std::string_view bytes) {
  VocabularyFacts facts;
  Message message(bytes);
  while (const auto field = message.next()) {
    if (field->number == kPieces) read_piece(field->content, facts);
    if (field->number == kTrainerSpec) read_trainer(field->content, facts);
    if (field->number == kNormalizerSpec) read_normalizer(field->content, facts);
  }
  return facts;
}

}  // namespace millrace
