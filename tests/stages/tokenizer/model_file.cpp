#include "tests/stages/tokenizer/model_file.h"

#include <bit>
#include <cstdint>

#include <fmt/format.h>

namespace millrace {
namespace {

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string number(int field, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(field) << 3) + varint(value);
}

std::string content(int field, const std::string& bytes) {
  return varint(static_cast<std::uint64_t>(field) << 3 | 2) + varint(bytes.size()) + bytes;
}

std::string float32(int field, float value) {
  std::string bytes = varint(static_cast<std::uint64_t>(field) << 3 | 5);
  for (unsigned shift = 0; shift < 32; shift += 8)
    bytes += static_cast<char>(std::bit_cast<std::uint32_t>(value) >> shift);
  return bytes;
}

}  // namespace

void ModelFile::add_special_pieces() {
  for (const char* control : {"<pad>", "</s>", "<s>"}) pieces.push_back({control, 0, PieceType::control});
  pieces.push_back({"<unk>", 0, PieceType::unknown});
  for (int byte = 0; byte_fallback && byte < 256; ++byte)
    pieces.push_back({fmt::format("<0x{:02X}>", byte), 0, PieceType::byte});
}

std::string ModelFile::bytes() const {
  std::string bytes;
  for (const Piece& piece : pieces) {
    bytes += content(
        1, content(1, piece.text) + float32(2, piece.score) + number(3, static_cast<std::uint64_t>(piece.type)));
  }
  bytes +=
      content(2, number(3, static_cast<std::uint64_t>(model_type)) + number(24, whitespace_as_suffix ? 1 : 0) +
                     number(35, byte_fallback ? 1 : 0) + number(40, 3) + number(41, 2) + number(42, 1) + number(43, 0));
  std::string normalizer = content(1, "made by a test") + number(3, add_dummy_prefix ? 1 : 0) +
                           number(4, remove_extra_whitespaces ? 1 : 0) + number(5, escape_whitespaces ? 1 : 0);
  if (!character_map.empty()) normalizer += content(2, character_map);
  if (unknown_normalizer_field > 0) normalizer += number(unknown_normalizer_field, 1);
  return bytes + content(3, normalizer);
}

}  // namespace millrace
