#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/config/mix.h"
#include "stages/objectives/objective.h"

namespace millrace {

enum class Sampling : std::uint8_t { quota, random };
enum class OnBadData : std::uint8_t { skip, fail };

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
  std::uint64_t shuffle_block = 4096;         ///< Records that are shuffled together.
  std::uint64_t shuffle_bytes = 1ull << 20;   ///< ... or this many bytes of text, whichever comes first.
  std::uint64_t shuffle_shards = 0;           ///< Shards of a corpus that are read side by side at most; 0: no bound.
  std::uint64_t shuffle_memory = 2ull << 30;  ///< ... as many as fit in so many bytes, all corpora together.
  std::uint64_t replay_bytes = 8ull << 30;    ///< ... and whose content is so many, where it is read again to go on.
  std::uint64_t shuffle_tokens = 8ull << 20;  ///< Of a corpus, in a window whose segments are shuffled: SegmentWindow.
  Sampling sampling = Sampling::quota;
  OnBadData on_bad_data = OnBadData::skip;
  double max_bad_fraction = 0.001;            ///< Part of a corpus that may be lost: see loss_judge.h.
  std::vector<std::string> allow_unreadable;  ///< Shards that may give nothing; relative to the data directory.
  std::uint64_t max_record_bytes = 64ull << 20;
};

/// The phases' max_document_tokens. A document that is begun in one phase may end in the next, so there is one for the
/// whole run: throws ConfigError if the phases' objectives differ in it.
std::uint64_t max_document_tokens_of(const StreamConfig& config);

/// The stream, ended after this many positions. REQUIRES: it has as many, and they are not 0.
StreamConfig stream_up_to(StreamConfig config, std::uint64_t positions);

}  // namespace millrace
