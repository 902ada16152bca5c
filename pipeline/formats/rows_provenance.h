#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/rows/stream_row.h"

namespace millrace {

/// Gathers the provenance of consecutive rows: what RowsPart keeps of them beside their arrays. Places in the corpora
/// change rarely from row to row, and are written once. The layout is in docs/preprocess.md.
class RowsProvenance {
 public:
  void add(const StreamRow& row);
  std::string bytes() const;

 private:
  std::string lines_;
  std::string raw_tokens_;
  std::string places_;
  std::uint64_t next_place_ = 0;
  std::vector<ReadingPlace> last_;          ///< By corpus.
  std::vector<std::uint64_t> last_number_;  ///< ... and their numbers.
};

/// Reads rows' provenance in any order.
class RowsProvenanceReader {
 public:
  /// `bytes` are what RowsProvenance gathered of `rows` rows. `name` is for complaints. Throws ConfigError.
  RowsProvenanceReader(std::string bytes, std::uint64_t rows, std::string name);

  /// Fills the row, the `index`-th one, but for its arrays. Throws ConfigError if what is told of it is malformed.
  void fill(StreamRow& row, std::uint64_t index) const;

 private:
  std::string bytes_;
  std::string name_;
  std::vector<std::size_t> begins_;  ///< Of the lines; then of the raw tokens.
  std::vector<ReadingPlace> places_;
};

}  // namespace millrace
