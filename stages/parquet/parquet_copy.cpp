#include "stages/parquet/parquet_copy.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stages/parquet/parquet_lz4.h"
#include "stages/parquet/parquet_values.h"
#include "stages/parquet/thrift_compact.h"

namespace millrace {
namespace {

constexpr std::size_t kPieceBytes = 1 << 20;
constexpr int kFooterVersion = 1;

void add(ThriftWriter& out, int id, const std::optional<std::int64_t>& value) {
  if (value) out.i32(id, *value);
}

void write_node(ThriftWriter& out, const ParquetNode& node) {
  out.begin_structure();
  add(out, 1, node.type);
  add(out, 2, node.type_length);
  add(out, 3, node.repetition);
  out.binary(4, named_field(node.name));
  if (node.children > 0) out.i32(5, static_cast<std::int64_t>(node.children));
  if (!node.is_text()) {
    add(out, 6, node.converted_type);
    add(out, 7, node.scale);
    add(out, 8, node.precision);
    if (!node.logical_type.empty()) {
      out.field(10, ThriftKind::structure);
      out.raw(node.logical_type);
    }
  }
  out.end_structure();
}

/// `path`: the names from the column down to the leaf.
void write_chunk(ThriftWriter& out, const ParquetChunk& chunk, const std::vector<std::string>& path) {
  out.begin_structure();
  out.i64(2, static_cast<std::int64_t>(chunk.begin()));
  out.field(3, ThriftKind::structure);
  out.begin_structure();
  out.i32(1, chunk.type);
  out.list(2, ThriftKind::i32, chunk.encodings.size());
  for (const std::int64_t encoding : chunk.encodings) out.element(encoding);
  out.list(3, ThriftKind::binary, path.size());
  for (const std::string& name : path) out.element(name);
  out.i32(4, chunk.codec);
  out.i64(5, static_cast<std::int64_t>(chunk.values));
  out.i64(6, static_cast<std::int64_t>(chunk.uncompressed_bytes));
  out.i64(7, static_cast<std::int64_t>(chunk.compressed_bytes));
  out.i64(9, static_cast<std::int64_t>(chunk.data_page));
  if (chunk.dictionary_page) out.i64(11, static_cast<std::int64_t>(*chunk.dictionary_page));
  out.end_structure();
  out.end_structure();
}

std::size_t read(const InputFile& file, std::uint64_t offset, char* into, std::size_t size) {
  try {
    return file.read_at(offset, into, size);
  } catch (const std::system_error& error) {
    throw ParquetFooterError(error.what());
  }
}

/// The path of every leaf below `node`; moves `node` past them.
void add_paths(const std::vector<ParquetNode>& nodes, std::size_t& node, std::vector<std::string> path,
               std::vector<std::vector<std::string>>& paths) {
  const ParquetNode& here = nodes[node++];
  path.push_back(named_field(here.name));
  if (here.children == 0) paths.push_back(path);
  for (std::uint64_t child = 0; child < here.children; ++child) add_paths(nodes, node, path, paths);
}

/// `chunks`: those of the columns, as they stand in the new file.
std::string footer_of(const ParquetFooter& footer, std::size_t group, const std::vector<std::size_t>& columns,
                      const std::vector<ParquetChunk>& chunks) {
  ThriftWriter out;
  out.begin_structure();
  out.i32(1, kFooterVersion);
  std::size_t nodes = 1;
  for (const std::size_t column : columns) nodes += footer.columns[column].node_end - footer.columns[column].node;
  out.list(2, ThriftKind::structure, nodes);
  ParquetNode root = footer.nodes[0];
  root.children = columns.size();
  write_node(out, root);
  for (const std::size_t column : columns) {
    for (std::size_t node = footer.columns[column].node; node < footer.columns[column].node_end; ++node)
      write_node(out, footer.nodes[node]);
  }
  const ParquetRowGroup& rows = footer.groups[group];
  out.i64(3, static_cast<std::int64_t>(rows.to - rows.from));
  out.list(4, ThriftKind::structure, 1);
  out.begin_structure();
  out.list(1, ThriftKind::structure, chunks.size());
  std::size_t chunk = 0;
  for (const std::size_t column : columns) {
    std::size_t node = footer.columns[column].node;
    std::vector<std::vector<std::string>> paths;
    add_paths(footer.nodes, node, {}, paths);
    for (const std::vector<std::string>& path : paths) write_chunk(out, chunks[chunk++], path);
  }
  out.i64(2, static_cast<std::int64_t>(footer.uncompressed_bytes(group, columns)));
  out.i64(3, static_cast<std::int64_t>(rows.to - rows.from));
  out.end_structure();
  if (!footer.created_by.empty()) out.binary(6, footer.created_by);
  out.end_structure();
  return out.bytes();
}

}  // namespace

ParquetCopy::ParquetCopy(const InputFile& file, const ParquetFooter& footer, std::size_t group,
                         const std::vector<std::size_t>& columns)
    : descriptor_(::memfd_create("millrace-row-group", MFD_CLOEXEC)) {
  if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "cannot copy a row group into memory");
  try {
    write("PAR1", 4);
    std::vector<ParquetChunk> chunks;
    for (const std::size_t column : columns) {
      for (std::size_t leaf = footer.columns[column].leaf; leaf < footer.columns[column].leaf_end; ++leaf) {
        chunks.push_back(copy_pages(file, footer.groups[group].chunks[leaf]));
      }
    }
    std::string end = footer_of(footer, group, columns, chunks);
    for (std::size_t length = end.size(), i = 0; i < 4; ++i) end += static_cast<char>(length >> (8 * i) & 0xFFU);
    end += "PAR1";
    write(end.data(), end.size());
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ParquetCopy::~ParquetCopy() {
  ::close(descriptor_);
}

std::string ParquetCopy::path() const {
  return fmt::format("/proc/self/fd/{}", descriptor_);
}

/// Returns the chunk as it is in the copy.
ParquetChunk ParquetCopy::copy_pages(const InputFile& file, const ParquetChunk& chunk) {
  if (chunk.begin() > file.size() || chunk.compressed_bytes > file.size() - chunk.begin())
    throw ParquetFooterError(
        fmt::format("a column's pages, {} bytes from byte {} on, are not in the file, which has {}",
                    chunk.compressed_bytes, chunk.begin(), file.size()));
  ParquetChunk copied = chunk;
  const std::uint64_t begin = size_;
  const bool is_old_lz4 = chunk.codec == kParquetOldLz4;
  const std::uint64_t at_once = is_old_lz4 ? chunk.compressed_bytes : kPieceBytes;
  std::string piece(std::min<std::uint64_t>(chunk.compressed_bytes, at_once), '\0');
  for (std::uint64_t done = 0; done < chunk.compressed_bytes;) {
    const std::size_t wanted = std::min<std::uint64_t>(piece.size(), chunk.compressed_bytes - done);
    const std::size_t got = read(file, chunk.begin() + done, piece.data(), wanted);
    if (got == 0 || (is_old_lz4 && got < wanted)) throw ParquetFooterError("the file became shorter while it was read");
    const std::string unpacked = is_old_lz4 ? unpack_lz4_pages(piece, copied) : "";
    write(is_old_lz4 ? unpacked.data() : piece.data(), is_old_lz4 ? unpacked.size() : got);
    done += got;
  }
  copied.data_page = copied.data_page - chunk.begin() + begin;
  if (copied.dictionary_page) copied.dictionary_page = *copied.dictionary_page - chunk.begin() + begin;
  return copied;
}

void ParquetCopy::write(const char* bytes, std::size_t size) {
  size_ += size;
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw std::system_error(errno, std::generic_category(), "cannot copy a row group into memory");
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

}  // namespace millrace
