#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stages/denoiser.h"
#include "stages/record_layout.h"

namespace millrace {

enum class CorpusKind : std::uint8_t { text, code };
/// What happens once a corpus has given its max_epochs.
enum class AtEnd : std::uint8_t { repeat, redistribute, stop };
enum class Sampling : std::uint8_t { quota, random };
enum class OnBadData : std::uint8_t { skip, fail };

/// A share as the integer it is compared as: billionths. Exact for up to nine digits after the point.
using ShareUnits = std::uint64_t;
inline constexpr ShareUnits kShareUnits = 1'000'000'000;

/// One corpus of a mix: which shards, and what share of the raw tokens.
struct Corpus {
  std::string name;
  CorpusKind kind = CorpusKind::text;
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

/// From where the last phase ended until `until`: one mix, one objective.
struct Phase {
  std::uint64_t until = 0;  ///< Positions (rows x T), absolute. The last phase ends the stream.
  Mix mix;
  Objective objective;
};

/// Everything that decides the sequence of rows, with the shards' bytes and the vocabulary.
/// Defaults are the run file's.
struct StreamConfig {
  std::string name;
  std::uint64_t seed = 0;
  int sequence_length = 2048;  ///< T: positions a row.
  std::string data_directory;  ///< Where relative shard patterns start.
  std::vector<Phase> phases;   ///< At least one; `until` rises strictly.

  double holdout = 0.001;                     ///< A document is held out iff xxh3_64(text) < holdout * 2^64.
  std::uint64_t shuffle_block = 4096;         ///< Records that are shuffled together. Restarting costs one block.
  std::uint64_t shuffle_bytes = 16ull << 20;  ///< ... or this many bytes of text, whichever comes first.
  Sampling sampling = Sampling::quota;
  OnBadData on_bad_data = OnBadData::skip;
  double max_bad_fraction = 0.001;            ///< Part of a corpus that may be lost: see loss_judge.h.
  std::vector<std::string> allow_unreadable;  ///< Shards that may give nothing; relative to the data directory.
  std::uint64_t max_record_bytes = 64ull << 20;
};

/// Bumped whenever the rows for a given (run file, shards, vocabulary, seed) change. Recorded in every checkpoint.
inline constexpr int kStreamVersion = 3;

}  // namespace millrace
