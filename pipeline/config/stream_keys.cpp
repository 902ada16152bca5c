#include "pipeline/config/stream_keys.h"

#include <array>
#include <cstdint>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "pipeline/config/objective_file.h"

namespace millrace {
namespace {

constexpr std::uint64_t kMostShuffled = std::uint64_t{1} << 31;     ///< Records: permutations count in 32 bits.
constexpr std::uint64_t kMostRecordBytes = std::uint64_t{1} << 32;  ///< What the JSON parser can hold.

constexpr std::array kSamplings{std::pair(Sampling::quota, "quota"), std::pair(Sampling::random, "random")};
constexpr std::array kOnBadData{std::pair(OnBadData::skip, "skip"), std::pair(OnBadData::fail, "fail")};

KeyTable<StreamConfig> make_run_keys() {
  KeyTable<StreamConfig> keys("");
  keys.add({.name = "name",
            .range = Text{},
            .meaning = "what the run's folder is called after, so no `/`, `.` or `..`",
            .fallback = "the file's name",
            .alters = Alters::nothing},
           &StreamConfig::name);
  keys.add({.name = "seed",
            .range = WholeRange{.most = std::numeric_limits<std::uint64_t>::max()},
            .meaning = "what all that is drawn is drawn from: order, spans, first weights",
            .alters = Alters::rows},
           &StreamConfig::seed);
  keys.tell({.name = "vocab",
             .range = Path{},
             .meaning = "a SentencePiece model; a run knows it by its content",
             .required = true,
             .alters = Alters::nothing});
  keys.add({.name = "sequence_length",
            .range = WholeRange{2, kLongestRow},
            .unit = "positions",
            .meaning = "a row's length, T",
            .alters = Alters::rows},
           &StreamConfig::sequence_length);
  keys.tell({.name = "phase",
             .range = Tables{},
             .meaning = "`[[phase]]`, one table a phase: below",
             .required = true,
             .alters = Alters::rows});
  return keys;
}

KeyTable<Phase> make_phase_keys() {
  KeyTable<Phase> keys("phase");
  keys.add(
      {.name = "until",
       .range = WholeRange{.least = 1},
       .unit = "positions",
       .meaning = "where the phase ends, rows x `sequence_length` from the run's beginning; beyond the phase before",
       .required = true,
       .alters = Alters::rows},
      &Phase::until);
  keys.tell({.name = "mix", .range = Path{}, .meaning = "a mix file", .required = true, .alters = Alters::rows});
  keys.tell(
      {.name = "objective", .range = Path{}, .meaning = "an objective file", .required = true, .alters = Alters::rows});
  for (const char* table : {"model", "train"}) {
    keys.tell({.name = table,
               .range = Tables{},
               .meaning = fmt::format("`[phase.{0}]`: keys of `[{0}]` that this phase says otherwise. [Those that may "
                                      "change by phase](runs.md#keys-by-phase)",
                                      table)});
  }
  return keys;
}

KeyTable<StreamConfig> make_data_keys() {
  KeyTable<StreamConfig> keys("data");
  keys.add({.name = "directory",
            .range = Path{},
            .meaning = "where the mixes' relative shard patterns start; `--data` and `MILLRACE_DATA` go before it",
            .fallback = "the current folder",
            .alters = Alters::nothing},
           &StreamConfig::data_directory);
  keys.add({.name = "holdout",
            .range = NumberRange{.most = 1, .most_excluded = true},
            .unit = "part",
            .meaning = "of the documents that is kept for [evaluation](training.md#evaluation)",
            .alters = Alters::rows},
           &StreamConfig::holdout);
  keys.add({.name = "shuffle_block",
            .range = WholeRange{1, kMostShuffled},
            .unit = "records",
            .meaning = "that are shuffled together, unless `shuffle_bytes` comes first",
            .alters = Alters::rows},
           &StreamConfig::shuffle_block);
  keys.add({.name = "shuffle_bytes",
            .range = WholeRange{.least = 1},
            .unit = "bytes",
            .meaning = "of text that are shuffled together, unless `shuffle_block` comes first",
            .alters = Alters::rows},
           &StreamConfig::shuffle_bytes);
  keys.add({.name = "shuffle_shards",
            .range = WholeRange{},
            .unit = "shards",
            .meaning = "of a corpus that are read side by side at most, each in its blocks; 0: as many as fit",
            .alters = Alters::rows},
           &StreamConfig::shuffle_shards);
  keys.add({.name = "shuffle_memory",
            .range = WholeRange{.least = 1},
            .unit = "bytes",
            .meaning = "that blocks and decompressors of the shards read side by side may take, all corpora together",
            .alters = Alters::rows},
           &StreamConfig::shuffle_memory);
  keys.add({.name = "replay_bytes",
            .range = WholeRange{.least = 1},
            .unit = "bytes",
            .meaning = "of content that going on may read again on its way into the shards read side by side; fewer "
                       "are, where they are large frames",
            .alters = Alters::rows},
           &StreamConfig::replay_bytes);
  keys.add({.name = "shuffle_tokens",
            .range = WholeRange{.most = kMostShuffled},
            .unit = "tokens",
            .meaning = "of a corpus whose segments are shuffled together, each denoiser's among themselves; 0: none",
            .alters = Alters::rows},
           &StreamConfig::shuffle_tokens);
  keys.add({.name = "sampling",
            .meaning =
                "shares that hold after every example, or corpora and denoisers drawn by their shares, as OpenMoE did",
            .alters = Alters::rows},
           &StreamConfig::sampling, kSamplings);
  keys.add({.name = "on_bad_data",
            .meaning = "bad records are counted and named, or the first one ends the run",
            .alters = Alters::nothing},
           &StreamConfig::on_bad_data, kOnBadData);
  keys.add({.name = "max_bad_fraction",
            .range = NumberRange{.most = 1},
            .unit = "part",
            .meaning = "of a corpus that may be lost, of records or of content: [shards.md](shards.md#how-much-is-bad)",
            .alters = Alters::nothing},
           &StreamConfig::max_bad_fraction);
  keys.add({.name = "max_record_bytes",
            .range = WholeRange{1, kMostRecordBytes},
            .unit = "bytes",
            .meaning = "a longer record is rejected",
            .alters = Alters::rows},
           &StreamConfig::max_record_bytes);
  keys.add({.name = "allow_unreadable",
            .range = Texts{},
            .meaning = "shards of which nothing need be readable, relative to `directory`",
            .only_if_changed = true,
            .alters = Alters::nothing},
           &StreamConfig::allow_unreadable);
  return keys;
}

}  // namespace

const KeyTable<StreamConfig>& run_keys() {
  static const KeyTable<StreamConfig> keys = make_run_keys();
  return keys;
}

const KeyTable<Phase>& phase_keys() {
  static const KeyTable<Phase> keys = make_phase_keys();
  return keys;
}

const KeyTable<StreamConfig>& data_keys() {
  static const KeyTable<StreamConfig> keys = make_data_keys();
  return keys;
}

}  // namespace millrace
