// A part of rows: it is refused with its file, or every row that its header announces is read or refused. A second try
// corrects the hashes of the header, the rows and their provenance, so that the code behind the checks is reached.
#include <cstring>
#include <string>

#include <xxhash.h>

#include "pipeline/formats/rows_part.h"
#include "stages/compression/zstd_frame.h"
#include "stages/errors.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/require.h"

namespace millrace {
namespace {

constexpr std::size_t kHashOfHeader = RowsPartHeader::kBytes - 8;
constexpr std::uint64_t kMostRows = 16;

void try_part(const std::string& bytes) {
  const MemoryFile memory(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  try {
    RowsPartReader part(memory.path());
    const RowsPartHeader& header = part.header();
    require(header.rows <= bytes.size(), "rows are no more than the file can hold");
    for (std::uint64_t i = 0; i < std::min(header.rows, kMostRows); ++i) {
      try {
        const StreamRow row = part.row(header.first_row + i);
        require(row.row.tokens.size() == header.length, "a row has the part's length");
        require(row.after != nullptr, "a row has a position behind it");
      } catch (const DataError& error) {
        require(std::strlen(error.what()) > 0, "a refusal has a reason");
      }
    }
  } catch (const DataError& error) {
    require(std::string(error.what()).find(memory.path()) != std::string::npos, "a refusal names the file");
  }
}

template <class Number>
void put(std::string& bytes, std::size_t at, Number number) {
  std::memcpy(bytes.data() + at, &number, sizeof number);
}

/// One row of `length` positions and its provenance, as a part with correct hashes.
std::string part_of(std::uint32_t length, const std::string& arrays, const std::string& provenance) {
  const std::string frame = zstd_compressed(provenance);
  std::string row = arrays;
  row.resize(RowsPartHeader::bytes_of_row(length) - 8);
  const std::uint64_t hash = XXH3_64bits(row.data(), row.size());
  row.append(reinterpret_cast<const char*>(&hash), sizeof hash);
  RowsPartHeader header;
  header.length = length;
  RowsPart empty(header);
  std::string bytes = empty.pieces().front();
  constexpr std::size_t kRows = 24, kProvenance = 56;
  put(bytes, kRows, std::uint64_t{1});
  put(bytes, kProvenance, std::uint64_t{RowsPartHeader::kBytes + row.size()});
  put(bytes, kProvenance + 8, std::uint64_t{frame.size()});
  put(bytes, kProvenance + 16, std::uint64_t{provenance.size()});
  put(bytes, kProvenance + 24, std::uint64_t{XXH3_64bits(frame.data(), frame.size())});
  put(bytes, kHashOfHeader, std::uint64_t{XXH3_64bits(bytes.data(), kHashOfHeader)});
  return bytes + row + frame;
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace millrace;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  try_part(bytes);
  try_part(part_of(4, bytes.substr(0, 80), bytes));
  if (size < RowsPartHeader::kBytes) return 0;
  put(bytes, kHashOfHeader, std::uint64_t{XXH3_64bits(bytes.data(), kHashOfHeader)});
  try_part(bytes);
  return 0;
}
