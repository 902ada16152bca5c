#include "stages/shard_to_records.h"

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stages/errors.h"
#include "stages/line_to_document.h"
#include "stages/parquet_to_documents.h"
#include "stages/shard_to_lines.h"

namespace millrace {
namespace {

struct NamedLayout {
  const char* name;
  const char* text_field;
};
constexpr std::array<NamedLayout, 5> kLayouts{{
    {"redpajama", "text"},
    {"redpajama-v2", "raw_content"},
    {"the-stack", "content"},
    {"dolma", "text"},
    {"c4", "text"},
}};

/// Lines looked at before a layout is given up on.
constexpr int kLinesToDetect = 16;

Reject unreadable(const std::string& path, std::uint64_t record, const std::system_error& error) {
  Reject reject;
  reject.where.shard = path;
  reject.where.record = record;
  reject.cause = RejectCause::unreadable;
  reject.reason = error.code().message();
  return reject;
}

class LinesReader final : public RecordReader {
 public:
  LinesReader(std::string path, const Options& options, std::unique_ptr<ByteStream> bytes, std::uint64_t first_record)
      : path_(std::move(path)),
        max_record_bytes_(options.max_record_bytes),
        lines_(std::move(bytes), options.max_record_bytes),
        to_document_(options.layout.text_field) {
    Line line;
    while (lines_.next_record() < first_record && !broken_) {
      if (step(line) == LineSplitter::Step::end) break;
    }
  }

  bool next(Record& record) override {
    if (broken_) {
      if (broken_told_) return false;
      broken_told_ = true;
      record = *broken_;
      return true;
    }
    Line line;
    switch (step(line)) {
      case LineSplitter::Step::end:
        return broken_ && next(record);
      case LineSplitter::Step::fault: {
        const ContainerFault& fault = lines_.fault();
        record = Reject{where(line), fault.cause, fault.reason, fault.lost_bytes};
        return true;
      }
      case LineSplitter::Step::line:
        break;
    }
    if (line.too_long) {
      record = Reject{where(line), RejectCause::too_long,
                      fmt::format("the line has {} bytes, allowed are {}", line.length, max_record_bytes_), 0};
    } else {
      record = to_document_(line.bytes, where(line), scratch_);
    }
    return true;
  }

  std::uint64_t next_record() const override { return lines_.next_record(); }

 private:
  Where where(const Line& line) const { return {path_, line.record, line.number, line.byte}; }

  /// A file that cannot be read any further ends there, with a Reject.
  LineSplitter::Step step(Line& line) {
    try {
      return lines_.next(line);
    } catch (const std::system_error& error) {
      broken_ = unreadable(path_, lines_.next_record(), error);
      return LineSplitter::Step::end;
    }
  }

  std::string path_;
  std::uint64_t max_record_bytes_;
  LineSplitter lines_;
  LineToDocument to_document_;
  LineToDocument::Scratch scratch_;
  std::optional<Reject> broken_;
  bool broken_told_ = false;
};

/// The reader of a file that could not even be opened.
class UnreadableShard final : public RecordReader {
 public:
  UnreadableShard(Reject reject, std::uint64_t first_record) : reject_(std::move(reject)), first_(first_record) {}
  bool next(Record& record) override {
    if (told_) return false;
    told_ = true;
    record = std::move(reject_);
    return true;
  }
  std::uint64_t next_record() const override { return first_; }

 private:
  Reject reject_;
  std::uint64_t first_;
  bool told_ = false;
};

std::vector<std::string> fields_of(const std::string& shard) {
  auto file = std::make_unique<InputFile>(shard);
  const Container container = container_of(*file);
  if (container == Container::parquet) return parquet_columns(shard);
  LineSplitter lines(open_bytes(std::move(file), container), RecordReader::Options{}.max_record_bytes);
  Line line;
  for (int seen = 0; seen < kLinesToDetect && lines.next(line) == LineSplitter::Step::line; ++seen) {
    std::vector<std::string> keys = keys_of(line.bytes);
    if (!keys.empty()) return keys;
  }
  return {};
}

}  // namespace

RecordLayout layout_named(const std::string& name) {
  std::string known;
  for (const NamedLayout& layout : kLayouts) {
    if (name == layout.name) return {layout.text_field};
    known += (known.empty() ? "" : ", ") + std::string(layout.name);
  }
  throw ConfigError(fmt::format("there is no layout \"{}\"; known are {}", name, known));
}

RecordLayout detect_layout(const std::string& shard) {
  std::vector<std::string> fields;
  try {
    fields = fields_of(shard);
  } catch (const std::system_error&) {
    return {};  // open_shard says what is wrong with it.
  }
  for (const char* field : {"text", "content", "raw_content"}) {
    if (std::find(fields.begin(), fields.end(), field) != fields.end()) return {field};
  }
  return {};
}

std::unique_ptr<RecordReader> open_shard(const std::string& path, const RecordReader::Options& options,
                                         std::uint64_t first_record) {
  try {
    auto file = std::make_unique<InputFile>(path);
    const Container container = container_of(*file);
    if (container == Container::parquet) return open_parquet(path, options, first_record);
    return std::make_unique<LinesReader>(path, options, open_bytes(std::move(file), container), first_record);
  } catch (const std::system_error& error) {
    return std::make_unique<UnreadableShard>(unreadable(path, 0, error), first_record);
  }
}

}  // namespace millrace
