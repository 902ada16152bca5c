#include "pipeline/export/stored_rows.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/formats/rows_format.h"
#include "pipeline/rows/start_position.h"
#include "pipeline/shell_word.h"
#include "stages/errors.h"

namespace millrace {
namespace {

void refuse_other_rows(const std::filesystem::path& folder, const ExportIdentity& there,
                       const StoredRows::Wanted& wanted) {
  const auto refuse = [&folder](const std::string& why) {
    throw ConfigError(fmt::format("--rows {}: {}", folder.string(), why));
  };
  if (there.stream_version != kStreamVersion)
    refuse(fmt::format("made with version {} of the stream, this program makes version {}: its rows would be others",
                       there.stream_version, kStreamVersion));
  if (there.vocabulary != wanted.vocabulary.hash())
    refuse(fmt::format("made with another vocabulary ({}, hash {}; the run's has hash {}): its ids mean something else",
                       there.tokenizer, there.vocabulary, wanted.vocabulary.hash()));
  std::vector<std::string> differences = differences_of(there.facts, identity_of(wanted.run));
  if (differences.empty())
    differences = millrace::differences(there.shards, fingerprints_of(wanted.trained, wanted.corpora, there.shards));
  if (differences.empty()) return;
  refuse(fmt::format("holds rows of another run:\n  {}\nMake them anew with millrace preprocess",
                     fmt::join(differences, "\n  ")));
}

}  // namespace

StoredRowReader::StoredRowReader(std::filesystem::path folder)
    : folder_(std::move(folder)), manifest_(read_output_manifest(folder_)) {
  if (manifest_.identity.format != "rows")
    throw ConfigError(
        fmt::format("{}: holds format {}, expected format rows", folder_.string(), manifest_.identity.format));
}

RowNames StoredRowReader::names(const StreamConfig& config) const {
  std::vector<RunCorpus> corpora = corpora_of(config, FindShards::no);
  for (RunCorpus& corpus : corpora)
    for (const ShardFingerprint& shard : manifest_.identity.shards)
      if (shard.corpus == corpus.corpus.name) corpus.shards.push_back(shard.shard);
  return row_names(config, corpora);
}

StreamRow StoredRowReader::row(std::uint64_t number) {
  part_of(number);
  return part_->row(number);
}

const RowsPartHeader& StoredRowReader::part_of(std::uint64_t number) {
  const bool is_in_part =
      part_ && number >= part_->header().first_row && number < part_->header().first_row + part_->header().rows;
  if (!is_in_part) {
    const std::uint64_t rows = rows_a_part(manifest_.identity.part_bytes, manifest_.length);
    part_.emplace(folder_ / name_of_part(number / rows));
    const RowsPartHeader& header = part_->header();
    if (number < header.first_row || number >= header.first_row + header.rows ||
        header.vocabulary != number_of_hash(manifest_.identity.vocabulary) ||
        header.run != number_of_hash(hash_of(manifest_.identity.facts)))
      throw DataError(fmt::format("{}: not the part that should be there: see millrace preprocess --check {}",
                                  (folder_ / name_of_part(number / rows)).string(), shell_word(folder_.string())));
  }
  return part_->header();
}

StoredRows::StoredRows(const std::filesystem::path& folder, const Wanted& wanted)
    : reader_(folder),
      trained_(wanted.trained),
      corpora_(wanted.corpora),
      batch_rows_(static_cast<std::size_t>(wanted.batch_rows)) {
  const ExportManifest& manifest = reader_.manifest();
  const auto length = static_cast<std::uint64_t>(wanted.trained.sequence_length);
  rows_ = std::min(manifest.rows, (wanted.trained.phases.back().until - 1) / length + 1);
  refuse_other_rows(folder, manifest.identity, wanted);
  if (manifest.rows < wanted.rows && !manifest.stream_ended)
    throw ConfigError(
        fmt::format("--rows {}: holds {} rows, but {} are to be trained on; make them anew, with preprocess's --tokens "
                    "at {}",
                    folder.string(), manifest.rows, wanted.rows,
                    wanted.rows * static_cast<std::uint64_t>(wanted.trained.sequence_length)));
}

std::optional<Batch> StoredRows::next() {
  if (next_ >= rows_) return std::nullopt;
  Batch batch;
  while (batch.size() < batch_rows_ && next_ < rows_) {
    StreamRow row = reader_.row(next_++);
    row.after = std::make_shared<const StreamPosition>(adapted_position(*row.after, trained_, corpora_));
    batch.push_back(std::move(row));
  }
  return batch;
}

std::uint64_t StoredRows::memory_bytes() {
  constexpr std::uint64_t kInMemory = 3;  // Sizes of its text that a row's origins take.
  constexpr std::uint64_t kBatches = 2;
  if (rows_ == 0) return 0;
  const RowsPartHeader& part = reader_.part_of(0);
  const std::uint64_t of_a_row = part.provenance_size / std::max<std::uint64_t>(part.rows, 1);
  const StreamRow last = reader_.row(part.first_row + part.rows - 1);
  std::uint64_t position = 0;
  for (const CorpusPosition& corpus : last.after->corpora)
    position += sizeof(CorpusPosition) + corpus.place.lanes.size() * sizeof(LaneCursor);
  const std::uint64_t provenance = part.provenance_bytes + part.provenance_size + part.rows * sizeof(std::size_t);
  return provenance + kBatches * batch_rows_ * (part.row_bytes() + kInMemory * of_a_row + position + sizeof(StreamRow));
}

StreamRow StoredRows::end() {
  const ExportManifest& manifest = reader_.manifest();
  StreamRow end;
  end.number = rows_;
  if (next_ < rows_) return end;
  if (manifest.stream_ended && rows_ == manifest.rows) {
    if (!manifest.end)
      throw DataError(fmt::format("{}: does not tell of the stream's end: make the rows anew with millrace preprocess",
                                  (reader_.folder() / kOutputManifest).string()));
    end = *manifest.end;
  } else if (rows_ > 0) {
    end.after = reader_.row(rows_ - 1).after;
  }
  if (end.after != nullptr)
    end.after = std::make_shared<const StreamPosition>(adapted_position(*end.after, trained_, corpora_));
  return end;
}

}  // namespace millrace
