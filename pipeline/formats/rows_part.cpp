#include "pipeline/formats/rows_part.h"

#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <xxhash.h>

#include "pipeline/formats/token_file.h"
#include "stages/compression/zstd_frame.h"
#include "stages/errors.h"

namespace millrace {
namespace {

constexpr std::array<char, 8> kMagicOfRows{'M', 'L', 'R', 'C', 'R', 'O', 'W', 'S'};

template <class Value>
void append_values(std::string& bytes, const std::vector<Value>& values) {
  static_assert(sizeof(Value) == 4);
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Value));
}

std::string bytes_of(const RowsPartHeader& header) {
  std::string bytes(kMagicOfRows.data(), kMagicOfRows.size());
  append_number(bytes, RowsPartHeader::kVersion);
  append_number(bytes, header.stream_version);
  append_number(bytes, header.first_row);
  append_number(bytes, header.rows);
  append_number(bytes, header.length);
  append_number(bytes, static_cast<std::uint32_t>(header.row_bytes()));
  append_number(bytes, header.vocabulary);
  append_number(bytes, header.run);
  append_number(bytes, header.provenance_at);
  append_number(bytes, header.provenance_bytes);
  append_number(bytes, header.provenance_size);
  append_number(bytes, header.provenance_hash);
  append_number(bytes, XXH3_64bits(bytes.data(), bytes.size()));
  return bytes;
}

/// Takes numbers from the front of bytes.
class Numbers {
 public:
  explicit Numbers(const char* at) : at_(at) {}
  template <class Number>
  Number take() {
    Number number{};
    std::memcpy(&number, at_, sizeof number);
    at_ += sizeof number;
    return number;
  }
  template <class Value>
  std::vector<Value> take(std::size_t count) {
    std::vector<Value> values(count);
    std::memcpy(values.data(), at_, count * sizeof(Value));
    at_ += count * sizeof(Value);
    return values;
  }

 private:
  const char* at_;
};

}  // namespace

std::uint64_t number_of_hash(const std::string& hex) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), number, 16);
  if (error != std::errc() || end != hex.data() + hex.size())
    throw DataError(fmt::format("\"{}\" is no hash, expected 16 hex digits", hex));
  return number;
}

void RowsPart::add(const StreamRow& row) {
  if (header_.rows == 0) header_.first_row = row.number;
  if (row.number != header_.first_row + header_.rows || row.row.tokens.size() != header_.length)
    throw std::logic_error(fmt::format("row {} of {} positions does not follow", row.number, row.row.tokens.size()));
  const std::size_t begin = rows_.size();
  append_values(rows_, row.row.tokens);
  append_values(rows_, row.row.labels);
  append_values(rows_, row.row.loss_weights);
  append_values(rows_, row.row.segment_ids);
  append_values(rows_, row.row.positions);
  append_number(rows_, XXH3_64bits(rows_.data() + begin, rows_.size() - begin));
  provenance_.add(row);
  ++header_.rows;
}

std::array<std::string, 3> RowsPart::pieces() {
  const std::string told = provenance_.bytes();
  std::string provenance = zstd_compressed(told);
  header_.provenance_at = RowsPartHeader::kBytes + rows_.size();
  header_.provenance_bytes = provenance.size();
  header_.provenance_size = told.size();
  header_.provenance_hash = XXH3_64bits(provenance.data(), provenance.size());
  return {bytes_of(header_), std::move(rows_), std::move(provenance)};
}

RowsPartReader::RowsPartReader(const std::filesystem::path& file) : name_(file.string()), file_(name_) {
  std::string bytes(RowsPartHeader::kBytes, '\0');
  if (file_.read_at(0, bytes.data(), bytes.size()) < bytes.size())
    throw DataError(fmt::format("{}: has {} bytes, fewer than a header", name_, file_.size()));
  if (std::memcmp(bytes.data(), kMagicOfRows.data(), kMagicOfRows.size()) != 0)
    throw DataError(fmt::format("{}: byte 0: not a part of rows", name_));
  Numbers numbers(bytes.data() + kMagicOfRows.size());
  const auto version = numbers.take<std::uint32_t>();
  if (version != RowsPartHeader::kVersion)
    throw DataError(
        fmt::format("{}: byte 8: of version {}, this program reads {}", name_, version, RowsPartHeader::kVersion));
  header_.stream_version = numbers.take<std::uint32_t>();
  header_.first_row = numbers.take<std::uint64_t>();
  header_.rows = numbers.take<std::uint64_t>();
  header_.length = numbers.take<std::uint32_t>();
  const auto row_bytes = numbers.take<std::uint32_t>();
  header_.vocabulary = numbers.take<std::uint64_t>();
  header_.run = numbers.take<std::uint64_t>();
  header_.provenance_at = numbers.take<std::uint64_t>();
  header_.provenance_bytes = numbers.take<std::uint64_t>();
  header_.provenance_size = numbers.take<std::uint64_t>();
  header_.provenance_hash = numbers.take<std::uint64_t>();
  if (numbers.take<std::uint64_t>() != XXH3_64bits(bytes.data(), bytes.size() - sizeof(std::uint64_t)))
    throw DataError(fmt::format("{}: bytes 0 to {}: the header is damaged", name_, RowsPartHeader::kBytes - 1));
  const std::uint64_t most_rows = file_.size() / header_.row_bytes();
  if (row_bytes != header_.row_bytes() || header_.rows > most_rows || header_.provenance_bytes > file_.size())
    throw DataError(fmt::format("{}: has {} bytes, but its header gives {} rows of {} bytes and {} bytes of provenance",
                                name_, file_.size(), header_.rows, row_bytes, header_.provenance_bytes));
  const std::uint64_t end = header_.offset_of(header_.first_row + header_.rows);
  if (header_.provenance_at != end || end + header_.provenance_bytes != file_.size())
    throw DataError(
        fmt::format("{}: has {} bytes, but its header gives {}", name_, file_.size(), end + header_.provenance_bytes));
}

StreamRow RowsPartReader::row(std::uint64_t number) {
  const std::uint64_t offset = header_.offset_of(number);
  std::string bytes(header_.row_bytes(), '\0');
  bytes.resize(file_.read_at(offset, bytes.data(), bytes.size()));
  const std::size_t arrays = header_.row_bytes() - sizeof(std::uint64_t);
  if (bytes.size() < header_.row_bytes() ||
      Numbers(bytes.data() + arrays).take<std::uint64_t>() != XXH3_64bits(bytes.data(), arrays))
    throw DataError(
        fmt::format("{}: bytes {} to {}: row {} is damaged", name_, offset, offset + header_.row_bytes() - 1, number));
  Numbers numbers(bytes.data());
  StreamRow row;
  row.number = number;
  row.row.tokens = numbers.take<TokenId>(header_.length);
  row.row.labels = numbers.take<TokenId>(header_.length);
  row.row.loss_weights = numbers.take<float>(header_.length);
  row.row.segment_ids = numbers.take<std::int32_t>(header_.length);
  row.row.positions = numbers.take<std::int32_t>(header_.length);
  try {
    if (!provenance_) read_provenance();
    provenance_->fill(row, number - header_.first_row);
  } catch (const ConfigError& error) {
    throw DataError(error.what());
  }
  return row;
}

void RowsPartReader::read_provenance() {
  std::string frame(header_.provenance_bytes, '\0');
  frame.resize(file_.read_at(header_.provenance_at, frame.data(), frame.size()));
  if (XXH3_64bits(frame.data(), frame.size()) != header_.provenance_hash)
    throw DataError(fmt::format("{}: bytes {} to {}: the rows' provenance is damaged", name_, header_.provenance_at,
                                header_.provenance_at + header_.provenance_bytes - 1));
  provenance_.emplace(zstd_decompressed(frame, header_.provenance_size), header_.rows, name_);
}

}  // namespace millrace
