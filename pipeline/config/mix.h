#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stages/record_layout.h"

namespace millrace {

enum class CorpusKind : std::uint8_t { text, code };
/// What happens once a corpus has given its max_epochs.
enum class AtEnd : std::uint8_t { repeat, redistribute, stop };

/// A share as the integer it is compared as: billionths. Exact for up to nine digits after the point.
using ShareUnits = std::uint64_t;
inline constexpr ShareUnits kShareUnits = 1'000'000'000;

/// One corpus of a mix: which shards, and what share of the raw tokens.
struct Corpus {
  std::string name;
  CorpusKind kind = CorpusKind::text;
  std::string license;                ///< Of its text, as whoever wrote the mix calls it; empty: not stated.
  ShareUnits share = 0;               ///< Of the mix, in units of 1 / kShareUnits; > 0.
  std::vector<std::string> patterns;  ///< As written; relative to the data directory.
  std::string layout;                 ///< Layout name; empty: told by each shard's content.
  std::string text_field;             ///< Of layout custom, a dotted path; empty: the layout's.
  RecordFilter filter;                ///< Which records count at all.
  double max_epochs = 0;              ///< 0: no limit. A fraction takes that part of the documents of its last epoch.
  AtEnd at_end = AtEnd::repeat;
  std::vector<std::string> groups;  ///< It stands in, innermost first. Their shares are in its own.
  std::string declared_at;          ///< "file:line:column" of its shards, for complaints.
};

/// A versioned ratio of corpora; shares sum to kShareUnits.
struct Mix {
  std::string name;
  std::string file;  ///< Where it was read from.
  std::vector<Corpus> corpora;
};

}  // namespace millrace
