#include "stages/parquet/parquet_lz4.h"

#include <cstdint>

#include <fmt/format.h>
#include <lz4.h>

#include "stages/parquet/thrift_compact.h"

namespace millrace {
namespace {

constexpr int kUncompressed = 0;
constexpr std::size_t kMostRatio = 256;  // LZ4 reaches 255.

[[noreturn]] void fail(const std::string& why) {
  throw ParquetFooterError("a page in LZ4 cannot be unpacked: " + why);
}

/// The header of a page, unchanged except for the sizes.
struct PageHeader {
  std::uint64_t unpacked = 0;
  std::uint64_t packed = 0;
  std::uint64_t levels = 0;  // Uncompressed bytes at the front, in pages of version 2.
  bool is_packed = true;
  std::string rewritten;  // Both sizes set to `unpacked`, without checksum.
};

/// What a data page of version 2 says of its levels.
void read_levels(ThriftReader& in, PageHeader& header) {
  for (ThriftReader::Field field = in.next_field(0); field.kind != ThriftKind::stop; field = in.next_field(field.id)) {
    if ((field.id == 5 || field.id == 6) && field.kind == ThriftKind::i32) {
      const std::int64_t bytes = in.integer();
      if (bytes < 0) fail("its levels have less than no bytes");
      header.levels += static_cast<std::uint64_t>(bytes);
    } else if (field.id == 7) {
      header.is_packed = field.kind == ThriftKind::yes;
    } else {
      in.skip(field.kind);
    }
  }
}

PageHeader read_header(ThriftReader& in) {
  PageHeader header;
  ThriftWriter out;
  out.begin_structure();
  for (ThriftReader::Field field = in.next_field(0); field.kind != ThriftKind::stop; field = in.next_field(field.id)) {
    const std::size_t begin = in.at();
    if (field.id == 8 && field.kind == ThriftKind::structure) {
      read_levels(in, header);
    } else if ((field.id == 2 || field.id == 3) && field.kind == ThriftKind::i32) {
      const std::int64_t size = in.integer();
      if (size < 0) fail("it has less than no bytes");
      (field.id == 2 ? header.unpacked : header.packed) = static_cast<std::uint64_t>(size);
    } else {
      in.skip(field.kind);
    }
    if (field.id == 3) {
      out.i32(3, static_cast<std::int64_t>(header.unpacked));
    } else if (field.id != 4 && field.id > 0 && field.id < 9) {
      out.field(field.id, field.kind);
      out.raw(in.since(begin));
    }
  }
  out.end_structure();
  header.rewritten = out.bytes();
  return header;
}

/// Unpacks one block to the end of `out`, which has room for it.
bool unpack_block(std::string_view block, char* to, std::size_t size) {
  return LZ4_decompress_safe(block.data(), to, static_cast<int>(block.size()), static_cast<int>(size)) ==
         static_cast<int>(size);
}

std::uint32_t big_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8U | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
  return value;
}

bool unpack_hadoop(std::string_view packed, std::string& unpacked) {
  std::size_t done = 0;
  while (packed.size() >= 8) {
    const std::uint32_t size = big_endian(packed);
    const std::uint32_t block = big_endian(packed.substr(4));
    packed.remove_prefix(8);
    if (block > packed.size() || size > unpacked.size() - done) return false;
    if (!unpack_block(packed.substr(0, block), unpacked.data() + done, size)) return false;
    packed.remove_prefix(block);
    done += size;
  }
  return packed.empty() && done == unpacked.size();
}

std::string unpack(std::string_view packed, std::size_t size) {
  if (size > kMostRatio * (packed.size() + 1)) fail(fmt::format("{} bytes cannot become {}", packed.size(), size));
  std::string unpacked(size, '\0');
  if (!unpack_hadoop(packed, unpacked) && !unpack_block(packed, unpacked.data(), size)) fail("it is damaged");
  return unpacked;
}

}  // namespace

std::string unpack_lz4_pages(std::string_view pages, ParquetChunk& chunk) {
  const std::uint64_t begin = chunk.begin();
  std::string out;
  std::uint64_t data_page = chunk.data_page;
  try {
    for (std::size_t at = 0; at < pages.size();) {
      if (begin + at == chunk.data_page) data_page = begin + out.size();
      ThriftReader in(pages.substr(at));
      const PageHeader header = read_header(in);
      at += in.at();
      if (header.packed > pages.size() - at) fail("it goes beyond its column");
      const std::string_view packed = pages.substr(at, header.packed);
      if (header.levels > header.packed || header.levels > header.unpacked) fail("its levels are longer than itself");
      out += header.rewritten;
      out += packed.substr(0, header.levels);
      if (header.is_packed) {
        out += unpack(packed.substr(header.levels), header.unpacked - header.levels);
      } else if (header.packed == header.unpacked) {
        out += packed.substr(header.levels);
      } else {
        fail("its sizes disagree");
      }
      at += header.packed;
    }
  } catch (const ThriftError& error) {
    fail(error.what());
  }
  chunk.codec = kUncompressed;
  chunk.data_page = data_page;
  chunk.compressed_bytes = chunk.uncompressed_bytes = out.size();
  return out;
}

}  // namespace millrace
