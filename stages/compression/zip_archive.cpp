#include "stages/compression/zip_archive.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <set>

#include <fmt/format.h>
#include <zlib.h>

#include "stages/errors.h"

namespace millrace {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie");

constexpr std::string_view kLocalHeader = "PK\x03\x04";
constexpr std::string_view kDirectoryEntry = "PK\x01\x02";
constexpr std::string_view kDirectoryEnd = "PK\x05\x06";
constexpr std::string_view kZip64End = "PK\x06\x06";
constexpr std::string_view kZip64Locator = "PK\x06\x07";
constexpr std::uint64_t kLocalHeaderBytes = 30;
constexpr std::uint64_t kDirectoryEntryBytes = 46;
constexpr std::uint64_t kDirectoryEndBytes = 22;
constexpr std::uint64_t kZip64EndBytes = 56;
constexpr std::uint64_t kZip64LocatorBytes = 20;
constexpr std::uint64_t kLongestComment = 0xFFFF;
constexpr std::uint64_t kInZip64 = 0xFFFFFFFF;  ///< Stands for a number that zip64's field has.
constexpr std::uint16_t kZip64Field = 1;

class ZipReader {
 public:
  ZipReader(std::string_view archive, const std::filesystem::path& path) : archive_(archive), path_(path) {}

  std::vector<ZipEntry> read() const {
    const Directory directory = find_directory();
    std::vector<ZipEntry> entries;
    std::set<std::string> names;
    std::uint64_t at = directory.offset;
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
      const std::uint64_t from = at;
      entries.push_back(read_entry(at));
      if (!names.insert(entries.back().name).second)
        fail(from, fmt::format("names \"{}\" a second time, expected each file once", entries.back().name));
    }
    return entries;
  }

 private:
  struct Directory {
    std::uint64_t offset = 0;
    std::uint64_t entries = 0;
  };

  [[noreturn]] void fail(std::uint64_t at, const std::string& complaint) const {
    throw ConfigError(fmt::format("{}: byte {}: {}", path_.string(), at, complaint));
  }

  /// So many bytes from `at` on.
  std::string_view part(std::uint64_t at, std::uint64_t bytes, const char* what) const {
    if (at > archive_.size() || bytes > archive_.size() - at)
      fail(at, fmt::format("{} of {} bytes begins here, expected that it ends before the file does, at byte {}", what,
                           bytes, archive_.size()));
    return archive_.substr(at, bytes);
  }

  std::string_view signed_part(std::uint64_t at, std::uint64_t bytes, std::string_view signature,
                               const char* what) const {
    const std::string_view found = part(at, bytes, what);
    if (!found.starts_with(signature))
      fail(at, fmt::format("no {}: found the bytes {:02x}, expected {:02x}", what, number<std::uint32_t>(found, 0),
                           number<std::uint32_t>(signature, 0)));
    return found;
  }

  template <class Number>
  static Number number(std::string_view of, std::size_t at) {
    Number result = 0;
    std::memcpy(&result, of.data() + at, sizeof result);
    return result;
  }

  /// A comment of any length may stand behind the end of the directory: the last one that fits counts.
  std::uint64_t find_end() const {
    if (archive_.size() >= kDirectoryEndBytes) {
      const std::uint64_t last = archive_.size() - kDirectoryEndBytes;
      for (std::uint64_t back = 0; back <= std::min(last, kLongestComment); ++back) {
        const std::string_view here = archive_.substr(last - back, kDirectoryEndBytes);
        if (here.starts_with(kDirectoryEnd) && number<std::uint16_t>(here, 20) == back) return last - back;
      }
    }
    throw ConfigError(fmt::format("{}: a zip archive whose directory is missing: the file was cut short, at byte {}",
                                  path_.string(), archive_.size()));
  }

  Directory find_directory() const {
    const std::uint64_t at = find_end();
    const std::string_view end = archive_.substr(at, kDirectoryEndBytes);
    if (at < kZip64LocatorBytes || !archive_.substr(at - kZip64LocatorBytes).starts_with(kZip64Locator))
      return {number<std::uint32_t>(end, 16), number<std::uint16_t>(end, 10)};
    const auto at64 = number<std::uint64_t>(archive_.substr(at - kZip64LocatorBytes, kZip64LocatorBytes), 8);
    const std::string_view end64 = signed_part(at64, kZip64EndBytes, kZip64End, "end of a zip64 directory");
    return {number<std::uint64_t>(end64, 48), number<std::uint64_t>(end64, 32)};
  }

  /// The numbers of zip64's field, in which stand, in this order, those that are kInZip64 in the entry.
  void read_zip64(std::string_view fields, std::uint64_t at, std::initializer_list<std::uint64_t*> numbers) const {
    while (fields.size() >= 4) {
      const auto kind = number<std::uint16_t>(fields, 0);
      const auto length = number<std::uint16_t>(fields, 2);
      std::string_view field = fields.substr(4);
      if (length > field.size()) fail(at, "a field of this entry is longer than all of them, expected a shorter one");
      fields = field.substr(length);
      field = field.substr(0, length);
      if (kind != kZip64Field) continue;
      for (std::uint64_t* value : numbers) {
        if (*value != kInZip64) continue;
        if (field.size() < sizeof *value) fail(at, "zip64's field of this entry is too short for its sizes");
        *value = number<std::uint64_t>(field, 0);
        field.remove_prefix(sizeof *value);
      }
      return;
    }
  }

  /// The entry of the directory at `at`, which is moved behind it.
  ZipEntry read_entry(std::uint64_t& at) const {
    const std::string_view head = signed_part(at, kDirectoryEntryBytes, kDirectoryEntry, "entry of a directory");
    const auto flags = number<std::uint16_t>(head, 8);
    const auto method = number<std::uint16_t>(head, 10);
    std::uint64_t stored = number<std::uint32_t>(head, 20);
    std::uint64_t size = number<std::uint32_t>(head, 24);
    const auto name_bytes = number<std::uint16_t>(head, 28);
    const auto field_bytes = number<std::uint16_t>(head, 30);
    const auto comment_bytes = number<std::uint16_t>(head, 32);
    std::uint64_t header = number<std::uint32_t>(head, 42);
    const std::string name(part(at + kDirectoryEntryBytes, name_bytes, "a file's name"));
    read_zip64(part(at + kDirectoryEntryBytes + name_bytes, field_bytes, "an entry's fields"), at,
               {&size, &stored, &header});
    if ((flags & 1U) != 0) fail(at, fmt::format("\"{}\" is encrypted, expected a file that is not", name));
    if (method != 0 || stored != size)
      fail(at, fmt::format("\"{}\" is compressed (method {}, {} bytes of {}), expected it stored as it is", name,
                           method, stored, size));
    at += kDirectoryEntryBytes + name_bytes + field_bytes + comment_bytes;
    const std::string_view local = signed_part(header, kLocalHeaderBytes, kLocalHeader, "header of a file");
    const std::uint64_t offset =
        header + kLocalHeaderBytes + number<std::uint16_t>(local, 26) + number<std::uint16_t>(local, 28);
    return {name, part(offset, size, "a file"), number<std::uint32_t>(head, 16), offset};
  }

  std::string_view archive_;
  const std::filesystem::path& path_;
};

}  // namespace

std::vector<ZipEntry> stored_zip_entries(std::string_view archive, const std::filesystem::path& path) {
  return ZipReader(archive, path).read();
}

std::uint32_t zip_crc32(std::uint32_t before, std::string_view piece) {
  return static_cast<std::uint32_t>(::crc32_z(before, reinterpret_cast<const Bytef*>(piece.data()), piece.size()));
}

}  // namespace millrace
