#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// A file in a zip archive.
struct ZipEntry {
  std::string name;
  std::string_view bytes;    ///< A view of the archive's.
  std::uint32_t crc32 = 0;   ///< Of the bytes, as the archive's directory has it.
  std::uint64_t offset = 0;  ///< Of the bytes, in the archive.
};

/// The files of a zip archive that are stored as they are, with neither compression nor encryption, as PyTorch writes
/// them; in the directory's order. `archive` is all of it, with zip64's large sizes where there are such; `path` is for
/// messages. Nothing is copied, and checksums are not compared. Format: PKWARE's APPNOTE.TXT, sections 4.3 and 4.5.3.
/// Throws ConfigError with file, byte, what was found and what was expected: no end of a directory, a part beyond the
/// file's end, signatures that are not there, two files of one name, a file that is compressed or encrypted.
std::vector<ZipEntry> stored_zip_entries(std::string_view archive, const std::filesystem::path& path);

/// The checksum of zip, of a text that comes in pieces: `before` is that of the pieces before, 0 of none.
std::uint32_t zip_crc32(std::uint32_t before, std::string_view piece);

}  // namespace millrace
