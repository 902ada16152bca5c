#include "stages/shards/foreign_container.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <utility>

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "stages/compression/zstd_stream.h"
#include "stages/shards/shard_to_lines.h"

namespace millrace {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kContentBytes = 64 << 10;  // How much of compressed content is decompressed for the check.

constexpr std::string_view kBlanks = " \t\r\n";

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (int i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
  return value;
}

unsigned char byte_at(std::string_view head, std::size_t at) {
  return static_cast<unsigned char>(head[at]);
}

/// Where the magic is made of letters, as texts are, too.
bool is_binary(std::string_view head) {
  return std::ranges::any_of(head.substr(0, 64), [](char c) { return c >= '\0' && c < '\t'; });
}

/// The level, and the mark of a block or of the end.
bool is_bzip2(std::string_view head) {
  if (head.size() < 10 || head[3] < '1' || head[3] > '9') return false;
  const std::string_view mark = head.substr(4, 6);
  return mark == "1AY&SY"sv || mark == "\x17\x72\x45\x38\x50\x90"sv;
}

/// The header of LZMA alone: properties, a dictionary of 2^n or 2^n + 2^(n-1) bytes, the content's size or none; then
/// a coder that always begins with zero.
bool is_lzma(std::string_view head) {
  if (head.size() < 14 || byte_at(head, 0) >= 225 || byte_at(head, 13) != 0) return false;
  const std::uint32_t dictionary = little_endian(head.substr(1));
  const std::uint32_t top = std::bit_floor(dictionary);
  if (dictionary < 4096 || (dictionary != top && dictionary != top + top / 2)) return false;
  const std::string_view size = head.substr(5, 8);
  return size == "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv || size.substr(5) == "\0\0\0"sv;
}

struct Inflated {
  std::string content;  ///< At most kContentBytes.
  bool is_sound;  ///< All of the examined part of `packed` could be decompressed, and it was more than a few bytes.
};

/// `window` names the framing, as for inflateInit2.
Inflated inflated(std::string_view packed, int window) {
  constexpr uInt kFewBytes = 512;
  z_stream inflater{};
  std::string content(kContentBytes, '\0');
  if (inflateInit2(&inflater, window) != Z_OK) throw std::bad_alloc();
  inflater.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  inflater.avail_in = static_cast<uInt>(packed.size());
  inflater.next_out = reinterpret_cast<Bytef*>(content.data());
  inflater.avail_out = static_cast<uInt>(content.size());
  int status = Z_OK;
  while (status == Z_OK && inflater.avail_out > 0) status = inflate(&inflater, Z_NO_FLUSH);
  content.resize(content.size() - inflater.avail_out);
  const bool no_fault = status == Z_OK || status == Z_BUF_ERROR;
  const bool is_sound = status == Z_STREAM_END || (no_fault && inflater.total_in > kFewBytes);
  inflateEnd(&inflater);
  return {std::move(content), is_sound};
}

bool is_gzip(std::string_view head) {
  return head.starts_with("\x1F\x8B"sv);
}

/// Two bytes do not identify a zlib stream: it must also decompress.
bool is_zlib(std::string_view head) {
  if (head.size() < 8 || (byte_at(head, 0) & 0x8F) != 8) return false;
  const unsigned header = byte_at(head, 0) << 8U | byte_at(head, 1);
  return header % 31 == 0 && inflated(head, MAX_WBITS).is_sound;
}

/// By the checksum of its first header, which old archives without "ustar" have, too.
bool is_tar(std::string_view head) {
  constexpr std::size_t kHeader = 512;
  constexpr std::size_t kSum = 148;
  constexpr std::size_t kSumBytes = 8;
  if (head.size() < kHeader || head[0] == '\0') return false;
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kHeader; ++i) sum += i >= kSum && i < kSum + kSumBytes ? ' ' : byte_at(head, i);
  std::uint32_t written = 0;
  std::string_view digits = head.substr(kSum, kSumBytes);
  digits.remove_prefix(std::min(digits.find_first_not_of(' '), digits.size()));
  if (digits.empty() || digits[0] < '0' || digits[0] > '7') return false;
  for (; !digits.empty() && digits[0] >= '0' && digits[0] <= '7'; digits.remove_prefix(1))
    written = written * 8 + static_cast<std::uint32_t>(digits[0] - '0');
  return written == sum;
}

/// A continuation mark and the size of the schema's message.
bool is_arrow_stream(std::string_view head) {
  constexpr std::uint32_t kMost = 1U << 28;
  if (head.size() < 8 || !head.starts_with("\xFF\xFF\xFF\xFF"sv)) return false;
  const std::uint32_t size = little_endian(head.substr(4));
  return size > 0 && size < kMost && size % 8 == 0;
}

/// By its mark, or by the three zero bytes beside the first character.
bool is_utf32(std::string_view head) {
  if (head.starts_with("\xFF\xFE\0\0"sv) || head.starts_with("\0\0\xFE\xFF"sv)) return true;
  if (head.size() < 4) return false;
  const auto is_ascii = [&](std::size_t at) { return byte_at(head, at) >= '\t' && byte_at(head, at) < 0x7F; };
  return (is_ascii(0) && head.substr(1, 3) == "\0\0\0"sv) || (head.starts_with("\0\0\0"sv) && is_ascii(3));
}

/// By its mark, or by the zero byte beside each of the first two characters.
bool is_utf16(std::string_view head) {
  if (head.starts_with("\xFF\xFE"sv) || head.starts_with("\xFE\xFF"sv)) return true;
  if (head.size() < 4) return false;
  const auto is_ascii = [&](std::size_t at) { return byte_at(head, at) >= '\t' && byte_at(head, at) < 0x7F; };
  return (is_ascii(0) && head[1] == '\0' && is_ascii(2) && head[3] == '\0') ||
         (head[0] == '\0' && is_ascii(1) && head[2] == '\0' && is_ascii(3));
}

/// Without a byte order mark and blanks at its beginning.
std::string_view without_blanks(std::string_view head) {
  if (head.starts_with(kByteOrderMark)) head.remove_prefix(kByteOrderMark.size());
  head.remove_prefix(std::min(head.find_first_not_of(kBlanks), head.size()));
  return head;
}

bool is_markup(std::string_view head) {
  std::string begin(without_blanks(head).substr(0, 16));
  std::ranges::transform(begin, begin.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const auto begins = [&begin](std::string_view mark) { return begin.starts_with(mark); };
  return begins("<!doctype") || begins("<html") || begins("<head") || begins("<body") || begins("<?xml");
}

/// An array over several lines, or over the one line that there is. Of lines that are arrays each for itself the first
/// one ends in a bracket, and others follow.
bool is_json_array(std::string_view head) {
  const std::string_view text = without_blanks(head);
  if (!text.starts_with('[')) return false;
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, text.find_last_not_of(kBlanks, end) + 1);
  const bool others_follow = text.find_first_not_of(kBlanks, end) != std::string_view::npos;
  return !line.ends_with(']') || !others_follow;
}

/// A brace, the end of the line, and a key in the next one.
bool is_json_document(std::string_view head) {
  std::string_view text = without_blanks(head);
  if (!text.starts_with('{')) return false;
  text.remove_prefix(1);
  const std::size_t next = text.find_first_not_of(kBlanks);
  return next != std::string_view::npos && text[next] == '"' &&
         text.substr(0, next).find('\n') != std::string_view::npos;
}

struct Kind {
  const char* name;
  const char* remedy;
  std::string_view magic;                       ///< What it begins with.
  bool (*matches)(std::string_view) = nullptr;  ///< What else must hold.
  bool is_text = false;                         ///< It may be wanted as a text.
};

constexpr const char* kUnpack = "unpack it, or recompress it with zstd";
constexpr const char* kExtract = "unpack it, and name the files that it holds";
constexpr const char* kConvert = "convert it to Parquet or JSON lines, for example with pyarrow";
constexpr const char* kExport = "write the texts that it holds as JSON lines or Parquet";
constexpr const char* kEncryptedParquet = "encrypted Parquet";
constexpr const char* kDecrypt = "decrypt it with its key";
constexpr const char* kDocument = "one JSON document over several lines";

constexpr std::array kKinds{
    Kind{"bzip2", kUnpack, "BZh"sv, is_bzip2},
    Kind{"xz", kUnpack, "\xFD\x37zXZ\0"sv},
    Kind{"lzma", kUnpack, {}, is_lzma},
    Kind{"lzip", kUnpack, "LZIP"sv, is_binary},
    Kind{"lz4", kUnpack, "\x04\x22\x4D\x18"sv},
    Kind{"lz4 of the old format", kUnpack, "\x02\x21\x4C\x18"sv},
    Kind{"lzop", kUnpack, "\x89LZO\0\r\n\x1A\n"sv},
    Kind{"compress (.Z)", kUnpack, "\x1F\x9D"sv},
    Kind{"zlib", kUnpack, {}, is_zlib},
    Kind{"framed snappy", kUnpack, "\xFF\x06\0\0sNaPpY"sv},
    Kind{"zip", kExtract, "PK\x03\x04"sv},
    Kind{"zip", kExtract, "PK\x05\x06"sv},
    Kind{"zip", kExtract, "PK\x07\x08"sv},
    Kind{"7z", kExtract, "7z\xBC\xAF\x27\x1C"sv},
    Kind{"rar", kExtract, "Rar!\x1A\x07"sv},
    Kind{"tar", kExtract, {}, is_tar},
    Kind{"Arrow or Feather file", kConvert, "ARROW1\0\0"sv},
    Kind{"Feather file of version 1", kConvert, "FEA1"sv, is_binary},
    Kind{"Arrow stream", kConvert, {}, is_arrow_stream},
    Kind{"ORC", kConvert, "ORC"sv, is_binary},
    Kind{"Avro", kConvert, "Obj\x01"sv},
    Kind{"npy", kExport, "\x93NUMPY"sv},
    Kind{"HDF5", kExport, "\x89HDF\r\n\x1A\n"sv},
    Kind{"SQLite", kExport, "SQLite format 3\0"sv},
    Kind{"PDF", kExport, "%PDF-"sv},
    Kind{kEncryptedParquet, kDecrypt, "PARE"sv, is_binary},
    Kind{"Git LFS pointer", "fetch the file that it stands for: git lfs pull",
         "version https://git-lfs.github.com/spec/"sv},
    Kind{"Git LFS pointer", "fetch the file that it stands for: git lfs pull",
         "version https://hawser.github.com/spec/"sv},
    Kind{"UTF-32 text", "convert it to UTF-8: iconv -f UTF-32 -t UTF-8", {}, is_utf32},
    Kind{"UTF-16 text", "convert it to UTF-8: iconv -f UTF-16 -t UTF-8", {}, is_utf16},
    Kind{"HTML or XML",
         "a server's answer in the place of a shard? fetch it again, or write its texts as JSON lines",
         {},
         is_markup,
         true},
    Kind{"JSON array", "write one record a line: jq -c '.[]'", {}, is_json_array, true},
    Kind{kDocument, "write one record a line: jq -c .", {}, is_json_document, true},
};

std::optional<ForeignContainer> known_kind(std::string_view head, bool is_text) {
  for (const Kind& kind : kKinds) {
    if (is_text && kind.is_text) continue;
    if (head.starts_with(kind.magic) && (kind.matches == nullptr || kind.matches(head)))
      return ForeignContainer{kind.name, kind.remedy, kind.name == kDocument};
  }
  return std::nullopt;
}

/// What zstd makes of `packed`, at most kContentBytes of it; none if that takes a dictionary.
std::optional<std::string> unpacked_zstd(std::string_view packed) {
  const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (context == nullptr) throw std::bad_alloc();
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 31);
  std::string content(kContentBytes, '\0');
  ZSTD_outBuffer out{content.data(), content.size(), 0};
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  while (in.pos < in.size && out.pos < out.size) {
    const std::size_t status = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(status)) {
      if (ZSTD_getErrorCode(status) == ZSTD_error_dictionary_wrong) return std::nullopt;
      break;
    }
  }
  content.resize(out.pos);
  return content;
}

bool is_zstd(std::string_view head) {
  return head.size() >= 4 && is_zstd_magic(head.data());
}

}  // namespace

ForeignContainer encrypted_parquet() {
  return {kEncryptedParquet, kDecrypt};
}

std::size_t head_bytes(std::string_view head) {
  return is_gzip(head) || is_zstd(head) ? kPackedHeadBytes : kHeadBytes;
}

std::optional<ForeignContainer> foreign_container(std::string_view head, bool is_text) {
  if (std::optional<ForeignContainer> kind = known_kind(head, is_text)) return kind;
  const char* packing = is_gzip(head) ? "gzip" : is_zstd(head) ? "zstd" : nullptr;
  if (packing == nullptr) return std::nullopt;
  const std::optional<std::string> content =
      is_gzip(head) ? inflated(head, 16 + MAX_WBITS).content : unpacked_zstd(head);
  if (!content) return ForeignContainer{"zstd with a dictionary", "unpack it with that: zstd -d -D DICTIONARY"};
  std::optional<ForeignContainer> inner = known_kind(*content, is_text);
  if (!inner && is_gzip(*content)) inner = {"gzip", "unpack it once"};
  if (!inner && is_zstd(*content)) inner = {"zstd", "unpack it once"};
  if (!inner && content->starts_with("PAR1")) inner = {"Parquet", "unpack it"};
  if (inner) inner->name += std::string(" in ") + packing;
  return inner;
}

}  // namespace millrace
