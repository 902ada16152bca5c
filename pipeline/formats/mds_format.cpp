#include "pipeline/formats/mds_format.h"

#include <array>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "pipeline/formats/mds_shard.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/compression/zstd_frame.h"
#include "stages/content_hash.h"
#include "stages/errors.h"
#include "stages/io/whole_file.h"

namespace millrace {
namespace {

constexpr const char* kIndex = "index.json";
constexpr const char* kHash = "xxh3_64";
constexpr const char* kCompression = "zstd";
constexpr std::size_t kColumns = 5;

/// `compression`: "zstd"; empty: none.
MdsConfig config_of(std::uint64_t size_limit, const std::string& compression) {
  return {{{"labels", "ndarray:int32"},
           {"loss_weights", "ndarray:float32"},
           {"positions", "ndarray:int32"},
           {"segment_ids", "ndarray:int32"},
           {"tokens", "ndarray:int32"}},
          compression,
          {kHash},
          size_limit};
}

std::string hash_text(const std::string& bytes) {
  ContentHash hash;
  hash.add(bytes.data(), bytes.size());
  return hash.hex();
}

nlohmann::json file_json(const std::string& name, const std::string& bytes) {
  return {{"basename", name}, {"bytes", bytes.size()}, {"hashes", {{kHash, hash_text(bytes)}}}};
}

class MdsWriter : public RowWriter {
 public:
  MdsWriter(StagedFolder& folder, const RowFiles& files, const std::string& compression)
      : folder_(folder), config_(config_of(files.identity.part_bytes, compression)), shard_(config_) {
    if (files.state == nullptr) return;
    for (const JsonValue& shard : files.state->elements()) shards_.push_back(shard.json());
  }

  void add(const StreamRow& row) override {
    const std::vector<std::string> values{mds_array(row.row.labels), mds_array(row.row.loss_weights),
                                          mds_array(row.row.positions), mds_array(row.row.segment_ids),
                                          mds_array(row.row.tokens)};
    shard_.add(values);
    // Rows are of one length: the next one would not fit.
    if (shard_.size_with(values) > config_.size_limit) end_part();
  }

  void end_part() override {
    if (shard_.samples() == 0) return;
    const std::string raw_name = fmt::format("shard.{:05}.mds", shards_.size());
    const std::string raw = shard_.bytes();
    nlohmann::json entry = config_;
    entry["samples"] = shard_.samples();
    entry["raw_data"] = file_json(raw_name, raw);
    entry["zip_data"] = nullptr;
    if (config_.compression.empty()) {
      put(raw_name, raw);
    } else {
      const std::string zip_name = raw_name + ".zstd";
      const std::string zip = zstd_compressed(raw);
      entry["zip_data"] = file_json(zip_name, zip);
      put(zip_name, zip);
    }
    shards_.push_back(Json(entry));
    shard_.clear();
  }

  bool is_between_parts() const override { return shard_.samples() == 0; }
  Json state() const override { return shards_; }

  void finish() override {
    const nlohmann::json index{{"shards", nlohmann::json(shards_)}, {"version", 2}};
    folder_.append(kIndex, json_line(index));
    folder_.close(kIndex);
  }

 private:
  void put(const std::string& name, const std::string& bytes) {
    folder_.append(name, bytes);
    folder_.close(name);
  }

  StagedFolder& folder_;
  const MdsConfig config_;
  MdsShard shard_;
  Json shards_ = Json::array();  ///< As in index.json.
};

/// One shard's bytes after decompression, read sample by sample. Throws DataError naming the byte.
class ShardCheck {
 public:
  ShardCheck(const std::string& bytes, const WrittenRows& rows, std::string config)
      : bytes_(bytes), rows_(rows), config_(std::move(config)) {}

  std::uint32_t samples() {
    const auto count = number_at<std::uint32_t>(0);
    const std::uint64_t begin = number_at<std::uint32_t>(4);
    if (begin != 4 + 4 * (std::uint64_t{count} + 1) + config_.size())
      throw DataError(fmt::format("byte 4: the first of {} samples begins at {}", count, begin));
    if (bytes_.compare(begin - config_.size(), config_.size(), config_) != 0)
      throw DataError(fmt::format("byte {}: not the configuration that was written", begin - config_.size()));
    std::uint64_t at = begin;
    for (std::uint32_t i = 0; i < count; ++i) {
      at = sample(at);
      const std::uint64_t entry = 8 + 4 * std::uint64_t{i};
      if (number_at<std::uint32_t>(entry) != at)
        throw DataError(
            fmt::format("byte {}: sample {} ends at {}, expected {}", entry, i, number_at<std::uint32_t>(entry), at));
    }
    if (at != bytes_.size()) throw DataError(fmt::format("byte {}: {} bytes too many", at, bytes_.size() - at));
    return count;
  }

 private:
  template <class Number>
  Number number_at(std::uint64_t offset) const {
    Number number{};
    if (offset + sizeof number > bytes_.size()) throw DataError(fmt::format("byte {}: ends too early", offset));
    std::memcpy(&number, bytes_.data() + offset, sizeof number);
    return number;
  }

  /// Returns where the sample ends.
  std::uint64_t sample(std::uint64_t at) const {
    const std::string shape = mds_array(std::vector<std::int32_t>(static_cast<std::size_t>(rows_.length)))
                                  .substr(0, rows_.length < 256     ? 2
                                             : rows_.length < 65536 ? 3
                                                                    : 5);
    const std::uint64_t value_bytes = shape.size() + 4 * static_cast<std::uint64_t>(rows_.length);
    for (std::size_t column = 0; column < kColumns; ++column)
      if (number_at<std::uint32_t>(at + 4 * column) != value_bytes)
        throw DataError(fmt::format("byte {}: a value of {} bytes, expected {}", at + 4 * column,
                                    number_at<std::uint32_t>(at + 4 * column), value_bytes));
    at += 4 * kColumns;
    for (std::size_t column = 0; column < kColumns; ++column, at += value_bytes) {
      if (bytes_.compare(at, shape.size(), shape) != 0)
        throw DataError(fmt::format("byte {}: not the shape of {} values", at, rows_.length));
      if (column == 0 || column + 1 == kColumns) check_ids(at + shape.size());
    }
    return at;
  }

  void check_ids(std::uint64_t at) const {
    for (int i = 0; i < rows_.length; ++i, at += 4)
      if (const auto id = number_at<std::int32_t>(at);
          id < 0 || static_cast<std::uint64_t>(id) >= rows_.identity.vocabulary_size)
        throw DataError(
            fmt::format("byte {}: id {} is outside the vocabulary of {}", at, id, rows_.identity.vocabulary_size));
  }

  const std::string& bytes_;
  const WrittenRows& rows_;
  const std::string config_;
};

/// What index.json says of a file's length and hash. Throws DataError if `bytes` are others.
void expect_file(const JsonValue& expected, const std::string& bytes, const char* what) {
  if (bytes.size() != expected.get<std::uint64_t>("bytes"))
    throw DataError(
        fmt::format("{}has {} bytes, {} says {}", what, bytes.size(), kIndex, expected.get<std::uint64_t>("bytes")));
  if (hash_text(bytes) != expected.at("hashes").get<std::string>(kHash))
    throw DataError(fmt::format("{}does not have the hash that {} says", what, kIndex));
}

bool is_stored_plain(const JsonValue& entry) {
  return entry.at("zip_data").json().is_null();
}

/// Throws DataError for what is wrong with a shard, ConfigError for what is wrong with its entry.
std::uint32_t check_shard(const std::filesystem::path& file, const JsonValue& entry, const WrittenRows& rows) {
  const bool is_plain = is_stored_plain(entry);
  std::string raw = read_whole_file(file);
  if (!is_plain) {
    expect_file(entry.at("zip_data"), raw, "");
    raw = zstd_decompressed(raw, entry.at("raw_data").get<std::uint64_t>("bytes"));
  }
  expect_file(entry.at("raw_data"), raw, is_plain ? "" : "decompressed, it ");
  const MdsConfig config = config_of(rows.identity.part_bytes, is_plain ? "" : kCompression);
  const std::uint32_t samples = ShardCheck(raw, rows, config_text(config)).samples();
  if (samples != entry.get<std::uint32_t>("samples"))
    throw DataError(fmt::format("has {} samples, {} says {}", samples, kIndex, entry.get<std::uint32_t>("samples")));
  return samples;
}

}  // namespace

std::unique_ptr<RowWriter> make_mds_writer(StagedFolder& folder, const RowFiles& files) {
  return std::make_unique<MdsWriter>(folder, files, kCompression);
}

std::unique_ptr<RowWriter> make_plain_mds_writer(StagedFolder& folder, const RowFiles& files) {
  return std::make_unique<MdsWriter>(folder, files, "");
}

std::vector<Damage> damage_of_mds(const std::filesystem::path& folder, const WrittenRows& rows) {
  std::vector<Damage> damage;
  std::uint64_t samples = 0;
  try {
    const JsonValue index = JsonValue::read(folder / kIndex);
    for (const JsonValue& entry : index.at("shards").elements()) {
      const auto name = entry.at(is_stored_plain(entry) ? "raw_data" : "zip_data").get<std::string>("basename");
      try {
        samples += check_shard(folder / name, entry, rows);
      } catch (const DataError& error) {
        damage.push_back({name, error.what()});
      } catch (const std::system_error& error) {
        damage.push_back({name, error.what()});
      }
    }
    if (damage.empty() && samples != rows.rows)
      damage.push_back({kIndex, fmt::format("has {} samples, but {} rows were written", samples, rows.rows)});
  } catch (const ConfigError& error) {
    damage.push_back({kIndex, error.what()});
  } catch (const std::system_error& error) {
    damage.push_back({kIndex, error.what()});
  }
  return damage;
}

}  // namespace millrace
