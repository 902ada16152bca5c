#include "stages/parquet/parquet_footer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "stages/parquet/thrift_compact.h"

namespace millrace {
namespace {

constexpr std::size_t kTailBytes = 8;  // The footer's length, and the magic.
constexpr std::uint64_t kMostRows = std::uint64_t{1} << 60;
constexpr std::size_t kDeepestSchema = 100;
constexpr int kByteArray = 6;
constexpr int kConvertedDecimal = 5;
constexpr int kLogicalDecimal = 5;

/// Calls `read(id, kind)` for each field; it returns false for those it does not know, which are skipped.
template <class Read>
void read_structure(ThriftReader& in, const Read& read) {
  for (ThriftReader::Field field = in.next_field(0); field.kind != ThriftKind::stop; field = in.next_field(field.id)) {
    if (!read(field.id, field.kind)) in.skip(field.kind);
  }
}

bool is_whole(ThriftKind kind) {
  return kind == ThriftKind::i16 || kind == ThriftKind::i32 || kind == ThriftKind::i64;
}

std::uint64_t count(ThriftReader& in) {
  const std::int64_t value = in.integer();
  if (value < 0) in.fail(fmt::format("a size or count is {}", value));
  return static_cast<std::uint64_t>(value);
}

ParquetNode read_node(ThriftReader& in) {
  ParquetNode node;
  read_structure(in, [&](int id, ThriftKind kind) {
    if (id == 4 && kind == ThriftKind::binary) {
      node.name = in.binary();
    } else if (id == 10 && kind == ThriftKind::structure) {
      const std::size_t begin = in.at();
      in.skip(kind);
      node.logical_type = in.since(begin);
    } else if (id == 5 && is_whole(kind)) {
      node.children = count(in);
    } else if (is_whole(kind)) {
      const std::int64_t value = in.integer();
      if (id == 1) node.type = value;
      if (id == 2) node.type_length = value;
      if (id == 3) node.repetition = value;
      if (id == 6) node.converted_type = value;
      if (id == 7) node.scale = value;
      if (id == 8) node.precision = value;
    } else {
      return false;
    }
    return true;
  });
  return node;
}

ParquetChunk read_meta_data(ThriftReader& in) {
  ParquetChunk chunk;
  read_structure(in, [&](int id, ThriftKind kind) {
    if (id == 2 && kind == ThriftKind::list) {
      const ThriftReader::List list = in.list();
      if (!is_whole(list.kind)) in.fail("encodings are no numbers");
      for (std::size_t i = 0; i < list.size; ++i) chunk.encodings.push_back(in.integer());
    } else if (is_whole(kind) && id != 10) {
      const std::int64_t value = in.integer();
      if (value < 0 && id >= 5 && id <= 9) in.fail(fmt::format("a size, count or offset is {}", value));
      if (id == 1) chunk.type = value;
      if (id == 4) chunk.codec = value;
      if (id == 5) chunk.values = static_cast<std::uint64_t>(value);
      if (id == 6) chunk.uncompressed_bytes = static_cast<std::uint64_t>(value);
      if (id == 7) chunk.compressed_bytes = static_cast<std::uint64_t>(value);
      if (id == 9) chunk.data_page = static_cast<std::uint64_t>(value);
      // Some writers put 0 where there is no dictionary.
      if (id == 11 && value >= 4) chunk.dictionary_page = static_cast<std::uint64_t>(value);
    } else {
      return false;
    }
    return true;
  });
  return chunk;
}

ParquetChunk read_chunk(ThriftReader& in) {
  std::optional<ParquetChunk> chunk;
  read_structure(in, [&](int id, ThriftKind kind) {
    if (id == 1) in.fail("a column lies in another file");
    if (id != 3 || kind != ThriftKind::structure) return false;
    chunk = read_meta_data(in);
    return true;
  });
  if (!chunk) in.fail("a column of a row group is not described: it may be encrypted");
  return std::move(*chunk);
}

std::size_t size_of_list(ThriftReader& in) {
  const ThriftReader::List list = in.list();
  if (list.size > 0 && list.kind != ThriftKind::structure) in.fail("a list holds no structures");
  return list.size;
}

ParquetRowGroup read_group(ThriftReader& in, std::uint64_t from) {
  ParquetRowGroup group{from, from, {}};
  read_structure(in, [&](int id, ThriftKind kind) {
    if (id == 1 && kind == ThriftKind::list) {
      const std::size_t size = size_of_list(in);
      for (std::size_t i = 0; i < size; ++i) group.chunks.push_back(read_chunk(in));
    } else if (id == 3 && is_whole(kind)) {
      const std::uint64_t rows = count(in);
      if (rows > kMostRows - from) in.fail(fmt::format("a row group has {} rows", rows));
      group.to = from + rows;
    } else {
      return false;
    }
    return true;
  });
  return group;
}

ParquetFooter read_meta(ThriftReader& in) {
  ParquetFooter footer;
  read_structure(in, [&](int id, ThriftKind kind) {
    if (id == 2 && kind == ThriftKind::list) {
      const std::size_t size = size_of_list(in);
      for (std::size_t i = 0; i < size; ++i) footer.nodes.push_back(read_node(in));
    } else if (id == 4 && kind == ThriftKind::list) {
      const std::size_t size = size_of_list(in);
      for (std::size_t i = 0; i < size; ++i) {
        footer.groups.push_back(read_group(in, footer.rows));
        footer.rows = footer.groups.back().to;
      }
    } else if (id == 6 && kind == ThriftKind::binary) {
      footer.created_by = in.binary();
    } else {
      return false;
    }
    return true;
  });
  return footer;
}

/// The root's children, each with all nodes below it.
void find_columns(ParquetFooter& footer) {
  const std::vector<ParquetNode>& nodes = footer.nodes;
  if (nodes.empty()) throw ParquetFooterError("there is no schema");
  std::size_t node = 1;
  std::size_t leaf = 0;
  for (std::uint64_t i = 0; i < nodes[0].children; ++i) {
    ParquetColumn column{node, node, leaf, leaf};
    for (std::vector<std::uint64_t> missing{1}; !missing.empty(); ++column.node_end) {
      if (column.node_end == nodes.size()) throw ParquetFooterError("the schema ends early");
      if (missing.size() > kDeepestSchema) throw ParquetFooterError("the schema is nested too deep");
      if (--missing.back() == 0) missing.pop_back();
      const std::uint64_t children = nodes[column.node_end].children;
      if (children == 0) ++column.leaf_end;
      if (children > 0) missing.push_back(children);
    }
    node = column.node_end;
    leaf = column.leaf_end;
    footer.columns.push_back(column);
  }
  for (const ParquetRowGroup& group : footer.groups) {
    if (group.chunks.size() != leaf)
      throw ParquetFooterError(fmt::format("a row group has {} columns, the schema has {}", group.chunks.size(), leaf));
  }
}

std::uint32_t little_endian(const char* bytes) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return value;
}

struct FooterBytes {
  std::string bytes;
  std::uint64_t offset = 0;  ///< In the file.
};

FooterBytes footer_of(const InputFile& file) {
  char tail[kTailBytes] = {};
  const std::uint64_t size = file.size();
  if (size < 4 + kTailBytes) throw ParquetFooterError(fmt::format("the file has {} bytes, too few for Parquet", size));
  if (file.read_at(size - kTailBytes, tail, kTailBytes) != kTailBytes)
    throw ParquetFooterError("the file became shorter while it was read");
  if (std::memcmp(tail + 4, "PARE", 4) == 0) throw ParquetFooterError("the footer is encrypted");
  if (std::memcmp(tail + 4, "PAR1", 4) != 0)
    throw ParquetFooterError("the file does not end in \"PAR1\": it was cut, or is not whole yet");
  const std::uint64_t length = little_endian(tail);
  if (length > size - 4 - kTailBytes)
    throw ParquetFooterError(fmt::format("the footer is said to have {} bytes, the file has {}", length, size));
  FooterBytes footer{std::string(length, '\0'), size - kTailBytes - length};
  if (file.read_at(footer.offset, footer.bytes.data(), length) != length)
    throw ParquetFooterError("the file became shorter while it was read");
  return footer;
}

}  // namespace

bool ParquetNode::is_text() const {
  if (children > 0 || type != kByteArray || converted_type == kConvertedDecimal) return false;
  if (logical_type.empty()) return true;
  return ThriftReader(logical_type).next_field(0).id != kLogicalDecimal;
}

std::uint64_t ParquetChunk::begin() const {
  return dictionary_page ? std::min(*dictionary_page, data_page) : data_page;
}

std::uint64_t ParquetFooter::uncompressed_bytes(std::size_t group) const {
  std::uint64_t bytes = 0;
  for (const ParquetChunk& chunk : groups[group].chunks) bytes += chunk.uncompressed_bytes;
  return bytes;
}

std::uint64_t ParquetFooter::uncompressed_bytes(std::size_t group, const std::vector<std::size_t>& of_columns) const {
  std::uint64_t bytes = 0;
  for (const std::size_t column : of_columns) {
    for (std::size_t leaf = columns[column].leaf; leaf < columns[column].leaf_end; ++leaf)
      bytes += groups[group].chunks[leaf].uncompressed_bytes;
  }
  return bytes;
}

ParquetFooter read_parquet_footer(const InputFile& file) {
  const FooterBytes footer_bytes = footer_of(file);
  try {
    ThriftReader in(footer_bytes.bytes);
    ParquetFooter footer = read_meta(in);
    find_columns(footer);
    return footer;
  } catch (const ThriftError& error) {
    throw ParquetFooterError(fmt::format("byte {} of the footer: {}", footer_bytes.offset + error.at, error.what()));
  }
}

bool has_encrypted_columns(const InputFile& file) {
  constexpr int kEncryptionAlgorithm = 8;
  constexpr int kAesGcm = 1;
  constexpr int kAesGcmCtr = 2;
  try {
    const FooterBytes footer_bytes = footer_of(file);
    ThriftReader in(footer_bytes.bytes);
    bool is_named = false;
    read_structure(in, [&](int id, ThriftKind kind) {
      if (id != kEncryptionAlgorithm || kind != ThriftKind::structure) return false;
      read_structure(in, [&](int algorithm, ThriftKind settings) {
        is_named = is_named || (settings == ThriftKind::structure && (algorithm == kAesGcm || algorithm == kAesGcmCtr));
        return false;
      });
      return true;
    });
    return is_named;
  } catch (const ParquetFooterError&) {
    return false;
  } catch (const ThriftError&) {
    return false;
  }
}

}  // namespace millrace
