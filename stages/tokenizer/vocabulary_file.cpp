#include "stages/tokenizer/vocabulary_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <system_error>

#include <fmt/format.h>
#include <xxhash.h>

#include "stages/errors.h"
#include "stages/io/disk.h"
#include "stages/io/whole_file.h"

namespace millrace {
namespace {

/// How a field's value is encoded.
enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct Field {
  std::uint32_t number = 0;
  Wire wire = Wire::varint;
  std::uint64_t value = 0;   // Varints, and numbers of fixed length.
  std::string_view content;  // Strings and messages.

  /// In another encoding than its message declares, a number is an unknown field, as protobuf itself has it.
  bool is(std::uint32_t wanted, Wire encoding) const { return number == wanted && wire == encoding; }
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
    field.wire = static_cast<Wire>(key & 7);
    switch (field.wire) {
      case Wire::varint:
        field.value = varint();
        break;
      case Wire::fixed64:
        field.value = fixed(8);
        break;
      case Wire::bytes:
        field.content = take(varint());
        break;
      case Wire::fixed32:
        field.value = fixed(4);
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
  std::uint64_t fixed(std::size_t bytes) {
    std::uint64_t value = 0;
    unsigned shift = 0;
    for (const char byte : take(bytes)) {
      value |= std::uint64_t{static_cast<unsigned char>(byte)} << shift;
      shift += 8;
    }
    return value;
  }
  std::string_view take(std::uint64_t bytes) {
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

/// Calls `take` for every field; false if the bytes are no message.
template <typename Take>
bool for_each_field(std::string_view bytes, Take take) {
  Message message(bytes);
  while (const auto field = message.next()) take(*field);
  return message.good();
}

// Field numbers of sentencepiece_model.proto.
constexpr std::uint32_t kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3, kLastOfModel = 5;
constexpr std::uint32_t kText = 1, kScore = 2, kType = 3;
constexpr std::uint32_t kModelType = 3, kWhitespaceAsSuffix = 24, kSplitDigits = 25, kByteFallback = 35;
constexpr std::uint32_t kBosPiece = 46, kEosPiece = 47, kPadPiece = 48, kLastOfTrainer = 54;
constexpr std::uint32_t kName = 1, kCharacterMap = 2, kDummyPrefix = 3, kRemoveWhitespaces = 4, kEscapeWhitespaces = 5,
                        kLastOfNormalizer = 6;

void note_unknown(VocabularyFile& file, std::string what) {
  if (file.unknown_option.empty()) file.unknown_option = std::move(what);
}

bool read_piece(std::string_view bytes, VocabularyFile& file) {
  VocabularyPiece piece;
  const bool good = for_each_field(bytes, [&](const Field& field) {
    if (field.is(kText, Wire::bytes)) piece.text = field.content;
    if (field.is(kScore, Wire::fixed32)) piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    if (!field.is(kType, Wire::varint)) return;
    if (field.value < 1 || field.value > static_cast<std::uint64_t>(PieceType::byte)) {
      note_unknown(file, fmt::format("piece {} of type {}", file.pieces.size(), field.value));
    } else {
      piece.type = static_cast<PieceType>(field.value);
    }
  });
  file.pieces.push_back(piece);
  return good;
}

bool read_trainer(std::string_view bytes, VocabularyFile& file) {
  static constexpr std::array<const char*, 5> kTypes{"unknown", "unigram", "bpe", "word", "char"};
  return for_each_field(bytes, [&](const Field& field) {
    if (field.is(kModelType, Wire::varint)) file.model_type = kTypes[field.value < kTypes.size() ? field.value : 0];
    if (field.is(kWhitespaceAsSuffix, Wire::varint)) file.whitespace_as_suffix = field.value != 0;
    if (field.is(kSplitDigits, Wire::varint)) file.split_digits = field.value != 0;
    if (field.is(kByteFallback, Wire::varint)) file.byte_fallback = field.value != 0;
    if (field.is(kBosPiece, Wire::bytes) && !field.content.empty()) file.bos_piece = field.content;
    if (field.is(kEosPiece, Wire::bytes) && !field.content.empty()) file.eos_piece = field.content;
    if (field.is(kPadPiece, Wire::bytes) && !field.content.empty()) file.pad_piece = field.content;
    if (field.number > kLastOfTrainer) note_unknown(file, fmt::format("field {} of its trainer spec", field.number));
  });
}

bool read_normalizer(std::string_view bytes, VocabularyFile& file) {
  return for_each_field(bytes, [&](const Field& field) {
    if (field.is(kName, Wire::bytes)) file.normalizer = field.content;
    if (field.is(kCharacterMap, Wire::bytes)) file.character_map = field.content;
    if (field.is(kDummyPrefix, Wire::varint)) file.add_dummy_prefix = field.value != 0;
    if (field.is(kRemoveWhitespaces, Wire::varint)) file.remove_extra_whitespaces = field.value != 0;
    if (field.is(kEscapeWhitespaces, Wire::varint)) file.escape_whitespaces = field.value != 0;
    if (field.number > kLastOfNormalizer)
      note_unknown(file, fmt::format("field {} of its normalizer spec", field.number));
  });
}

}  // namespace

int VocabularyFile::count(PieceType type) const {
  return static_cast<int>(std::ranges::count(pieces, type, &VocabularyPiece::type));
}

int VocabularyFile::find(PieceType type, std::string_view text) const {
  const auto found = std::ranges::find_if(
      pieces, [&](const VocabularyPiece& piece) { return piece.type == type && (text.empty() || piece.text == text); });
  return found == pieces.end() ? -1 : static_cast<int>(found - pieces.begin());
}

std::string read_vocabulary_bytes(const std::filesystem::path& path) {
  try {
    return read_whole_file(path);
  } catch (const std::system_error& error) {
    if (!is_wrong_path(error.code())) throw;
    throw ConfigError(fmt::format("vocabulary {}: {}", path.string(), error.code().message()));
  }
}

std::string vocabulary_hash(std::string_view bytes) {
  return fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size()));
}

std::optional<VocabularyFile> read_vocabulary_file(std::string_view bytes) {
  VocabularyFile file;
  bool parts_good = true;
  const bool good = for_each_field(bytes, [&](const Field& field) {
    if (field.is(kPieces, Wire::bytes)) parts_good = read_piece(field.content, file) && parts_good;
    if (field.is(kTrainerSpec, Wire::bytes)) parts_good = read_trainer(field.content, file) && parts_good;
    if (field.is(kNormalizerSpec, Wire::bytes)) parts_good = read_normalizer(field.content, file) && parts_good;
    if (field.number > kLastOfModel) note_unknown(file, fmt::format("field {} of the model", field.number));
  });
  if (!good || !parts_good || file.pieces.empty()) return std::nullopt;
  return file;
}

}  // namespace millrace
