#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/rows/stream_row.h"

namespace millrace {

/// How often a perfect shuffle is played, to say what is to be expected of one.
inline constexpr std::uint64_t kPerfectShuffles = 20;

/// A property of a corpus's documents: its shard, or the value of a field.
struct DocumentProperty {
  std::string name;
  /// A document's value; values count from 0. `record`: as RecordLocation::record.
  std::function<std::uint32_t(std::uint32_t shard, std::uint64_t record)> value_of;
  std::vector<double> epoch;  ///< By value: raw tokens in a whole epoch, or what is in proportion to them. Empty: not
                              ///< known.
};

/// What was found in rows, beside the mean over kPerfectShuffles of the same examples.
struct BesideShuffled {
  double found = 0;
  double shuffled = 0;

  std::optional<double> ratio() const;  ///< found / shuffled; none if a shuffle has nothing.
};

/// Distances of windows from a distribution.
struct WindowDistances {
  BesideShuffled mean;
  BesideShuffled max;
};

/// Distances of one window.
struct RowWindow {
  std::uint64_t end_row = 0;  ///< Rows of the stream up to the window's end.
  BesideShuffled from_rows;
  std::optional<BesideShuffled> from_epoch;
};

/// How far windows of rows are from the whole: the total variation distance, half the sum over all values of the
/// difference between their shares of the raw tokens; 0 to 1.
struct WindowSpread {
  std::string property;
  std::uint64_t values = 0;        ///< Different ones in the rows.
  std::vector<RowWindow> windows;  ///< Whole ones with tokens of the corpus, in order.
  WindowDistances from_rows;       ///< From all the rows; 0 without a window.
  std::optional<WindowDistances> from_epoch;
};

/// How well a corpus is mixed in the rows.
struct CorpusMixing {
  std::uint64_t examples = 0;
  std::uint64_t documents = 0;          ///< Different ones.
  std::optional<BesideShuffled> pairs;  ///< That share a document; none without batches.
  std::vector<WindowSpread> spreads;    ///< One a property.
};

/// Measures how well consecutive rows are mixed, corpus by corpus, beside perfect shuffles of the same examples: one
/// permutes a corpus's examples over the places that its examples have, so that every row keeps as many examples of
/// each corpus, and an example its documents. A draw depends on the corpus's number and the shuffle's.
///
/// Two rows are a pair of a corpus if they are of one batch and have examples of the corpus that hold tokens of the
/// same document. A document is a record of a shard; epochs do not part it.
///
/// Holds 16 bytes a document span and 12 an example, up to three times that while it grows; measuring takes 8 a span, 4
/// more a property, and 8 an example, of one corpus at a time. One object, one thread.
class RowMixing {
 public:
  /// `batch_rows`: rows of a batch, counted from the stream's first row; empty: no batches. `window_rows`: rows of a
  /// window, counted from the first row added; what is left behind the last whole window is in none.
  RowMixing(std::optional<std::uint64_t> batch_rows, std::uint64_t window_rows);

  /// REQUIRES: rows come in order, none left out; fewer than 2^32 rows, and spans of a corpus.
  void add(const StreamRow& row);

  std::optional<std::uint64_t> batch_rows() const { return batch_rows_; }
  std::uint64_t window_rows() const { return window_rows_; }
  std::uint64_t first_row() const { return first_row_; }  ///< Its number in the stream.
  std::uint64_t rows() const { return rows_; }
  std::vector<std::uint32_t> corpora() const;  ///< Those with examples in the rows.

  /// REQUIRES: the corpus has examples in the rows.
  CorpusMixing measure(std::uint32_t corpus, const std::vector<DocumentProperty>& properties) const;

  /// Part of a document in an example.
  struct Span {
    std::uint64_t record;
    std::uint32_t shard;
    std::uint32_t tokens;
  };
  /// Examples of a corpus, in order. Example i has the spans from ends[i - 1] (0 if i is 0) to ends[i].
  struct Examples {
    std::vector<std::uint32_t> rows;  ///< Of each example, counted from the first row added.
    std::vector<std::uint64_t> ends;
    std::vector<Span> spans;
  };

 private:
  const std::optional<std::uint64_t> batch_rows_;
  const std::uint64_t window_rows_;
  std::uint64_t first_row_ = 0;
  std::uint64_t rows_ = 0;
  std::map<std::uint32_t, Examples> corpora_;
};

}  // namespace millrace
