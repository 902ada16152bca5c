#include "pipeline/formats/rows_format.h"

#include <algorithm>

#include <fmt/format.h>

#include "pipeline/formats/rows_part.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"

namespace millrace {
namespace {

class RowsWriter : public RowWriter {
 public:
  RowsWriter(StagedFolder& folder, const RowFiles& files)
      : folder_(folder), most_rows_(rows_a_part(files.identity.part_bytes, files.length)) {
    header_.stream_version = static_cast<std::uint32_t>(files.identity.stream_version);
    header_.length = static_cast<std::uint32_t>(files.length);
    header_.vocabulary = number_of_hash(files.identity.vocabulary);
    header_.run = number_of_hash(hash_of(files.identity.facts));
    part_ = RowsPart(header_);
    if (files.state != nullptr) parts_ = files.state->as<std::uint64_t>();
  }

  void add(const StreamRow& row) override {
    part_.add(row);
    if (part_.rows() == most_rows_) end_part();
  }

  void end_part() override {
    if (part_.rows() == 0) return;
    const std::string name = name_of_part(parts_++);
    for (const std::string& piece : part_.pieces()) folder_.append(name, piece);
    folder_.close(name);
    part_ = RowsPart(header_);
  }

  bool is_between_parts() const override { return part_.rows() == 0; }
  Json state() const override { return parts_; }
  void finish() override {}

 private:
  StagedFolder& folder_;
  const std::uint64_t most_rows_;
  RowsPartHeader header_;
  RowsPart part_{{}};
  std::uint64_t parts_ = 0;
};

/// A part that should begin with `first_row`. Throws DataError.
void check_part(const std::filesystem::path& file, const WrittenRows& rows, std::uint64_t first_row) {
  RowsPartReader part(file);
  const RowsPartHeader& header = part.header();
  const std::uint64_t expected = std::min(rows_a_part(rows.identity.part_bytes, rows.length), rows.rows - first_row);
  if (header.first_row != first_row || header.rows != expected)
    throw DataError(fmt::format("byte 16: holds rows {} to {}, expected {} to {}", header.first_row,
                                header.first_row + header.rows, first_row, first_row + expected));
  if (header.vocabulary != number_of_hash(rows.identity.vocabulary) ||
      header.run != number_of_hash(hash_of(rows.identity.facts)) ||
      header.length != static_cast<std::uint32_t>(rows.length) ||
      header.stream_version != static_cast<std::uint32_t>(rows.identity.stream_version))
    throw DataError("bytes 12 to 55: of another run, vocabulary, length or version of the stream");
  for (std::uint64_t number = first_row; number < first_row + header.rows; ++number) {
    const StreamRow row = part.row(number);
    for (const std::vector<TokenId>* ids : {&row.row.tokens, &row.row.labels}) {
      const auto bad = std::ranges::find_if(
          *ids, [&](TokenId id) { return id < 0 || static_cast<std::uint64_t>(id) >= rows.identity.vocabulary_size; });
      if (bad == ids->end()) continue;
      const auto place = static_cast<std::uint64_t>(bad - ids->begin());
      const std::uint64_t array = ids == &row.row.labels ? 1 : 0;
      throw DataError(fmt::format("byte {}: id {} is outside the vocabulary of {}",
                                  header.offset_of(number) + 4 * (array * header.length + place), *bad,
                                  rows.identity.vocabulary_size));
    }
  }
}

}  // namespace

std::uint64_t rows_a_part(std::uint64_t part_bytes, int length) {
  return std::max<std::uint64_t>(1, part_bytes / RowsPartHeader::bytes_of_row(static_cast<std::uint64_t>(length)));
}

std::string name_of_part(std::uint64_t part) {
  return fmt::format("part-{:05}.rows", part);
}

std::unique_ptr<RowWriter> make_rows_writer(StagedFolder& folder, const RowFiles& files) {
  return std::make_unique<RowsWriter>(folder, files);
}

std::vector<Damage> damage_of_rows(const std::filesystem::path& folder, const WrittenRows& rows) {
  std::vector<Damage> damage;
  const std::uint64_t most_rows = rows_a_part(rows.identity.part_bytes, rows.length);
  for (std::uint64_t part = 0; part * most_rows < rows.rows; ++part) {
    try {
      check_part(folder / name_of_part(part), rows, part * most_rows);
    } catch (const std::exception& error) {
      damage.push_back({name_of_part(part), error.what()});
    }
  }
  return damage;
}

}  // namespace millrace
