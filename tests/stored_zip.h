#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "stages/compression/zip_archive.h"

namespace millrace {

/// A zip archive of files that are stored as they are, as its description (APPNOTE.TXT, section 4.3) has it.
class StoredZip {
 public:
  void add(const std::string& name, const std::string& bytes) {
    const auto header = static_cast<std::uint32_t>(archive_.size());
    std::string common = number<std::uint16_t>(20) + std::string(8, '\0');  // Flags, method, time, date: all 0.
    common += number(zip_crc32(0, bytes)) + number(size_of(bytes)) + number(size_of(bytes));
    common += number(static_cast<std::uint16_t>(name.size())) + number<std::uint16_t>(0);
    archive_ += "PK\x03\x04" + common + name + bytes;
    directory_ += "PK\x01\x02" + number<std::uint16_t>(20) + common + std::string(10, '\0') + number(header) + name;
    ++entries_;
  }

  /// The whole archive.
  std::string finished() const {
    return archive_ + directory_ + "PK\x05\x06" + std::string(4, '\0') + number(entries_) + number(entries_) +
           number(size_of(directory_)) + number(size_of(archive_)) + std::string(2, '\0');
  }

 private:
  template <class Number>
  static std::string number(Number value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  static std::uint32_t size_of(const std::string& bytes) { return static_cast<std::uint32_t>(bytes.size()); }

  std::string archive_;
  std::string directory_;
  std::uint16_t entries_ = 0;
};

}  // namespace millrace
