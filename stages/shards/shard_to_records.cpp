#include "stages/shards/shard_to_records.h"

#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stages/compression/frame_tally.h"
#include "stages/errors.h"
#include "stages/io/disk.h"
#include "stages/parquet/parquet_footer.h"
#include "stages/parquet/parquet_to_documents.h"
#include "stages/shards/line_to_document.h"
#include "stages/shards/shard_shape.h"
#include "stages/shards/shard_to_lines.h"
#include "stages/utf8.h"

namespace millrace {
namespace {

/// Lines looked at before a layout is given up on.
constexpr int kLinesToDetect = 16;
constexpr std::size_t kLargeLine = 1 << 20;  ///< Bytes.

Reject unreadable(const std::string& path, std::uint64_t record, std::string reason) {
  Reject reject;
  reject.where.shard = path;
  reject.where.record = record;
  reject.cause = RejectCause::unreadable;
  reject.reason = std::move(reason);
  reject.loss = {0, 0};
  return reject;
}

/// The content of a file of which the part `share` was read, as `read` bytes: how much is behind it.
std::uint64_t rest_of(const std::string& path, double share, std::uint64_t read) {
  if (share > 0) return static_cast<std::uint64_t>(static_cast<double>(read) * (1 - share) / share);
  std::error_code unknown;
  const std::uintmax_t bytes = std::filesystem::file_size(path, unknown);
  return unknown ? 0 : bytes * kUnknownRatio;
}

class LinesReader final : public RecordReader {
 public:
  LinesReader(std::string path, const ReadOptions& options, std::unique_ptr<ByteStream> bytes,
              std::uint64_t first_record, const SeekPoint& from)
      : path_(std::move(path)),
        max_record_bytes_(options.max_record_bytes),
        lines_(std::move(bytes), options.max_record_bytes, from),
        to_document_(options) {
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
        const std::uint64_t cut = line.length;  // Bytes that are there of a line that is not whole.
        record = Reject{{path_, line.record, line.number, line.byte},
                        fault.cause,
                        fault.reason,
                        fault.lost_bytes,
                        {cut > 0 ? 1U : 0U, cut + fault.lost_content}};
        return true;
      }
      case LineSplitter::Step::line:
        break;
    }
    if (line.too_long) {
      record = rejected_record(where(line), RejectCause::too_long,
                               fmt::format("the line has {} bytes, allowed are {}", line.length, max_record_bytes_));
    } else {
      record = to_document_(line.bytes, where(line), *scratch_);
      if (line.bytes.size() > kLargeLine) {
        scratch_.emplace();  // Gives the parser's memory back.
        lines_.give_back();
      }
    }
    return true;
  }

  std::uint64_t next_record() const override { return lines_.next_record(); }
  SeekPoint seek_point() const override { return lines_.seek_point(); }
  double share_read() const override { return lines_.share_read(); }

  std::uint64_t file_bytes_read() const override {
    if (!shape_) shape_ = shape_of(path_);
    const SeekPoint point = lines_.seek_point();
    return point.offset + shape_->packed_bytes(lines_.content_read() - point.content);
  }

 private:
  RecordLocation where(const Line& line) const { return {path_, line.record, line.number, line.byte, line.length + 1}; }

  /// A file that cannot be read any further ends there, with a Reject.
  LineSplitter::Step step(Line& line) {
    try {
      return lines_.next(line);
    } catch (const std::system_error& error) {
      broken_ = unreadable(path_, lines_.next_record(), error.code().message());
      broken_->loss.bytes = rest_of(path_, lines_.share_read(), lines_.content_read());
      return LineSplitter::Step::end;
    }
  }

  std::string path_;
  std::uint64_t max_record_bytes_;
  LineSplitter lines_;
  LineToDocument to_document_;
  std::optional<LineToDocument::Scratch> scratch_{std::in_place};
  std::optional<Reject> broken_;
  bool broken_told_ = false;
  mutable std::optional<ShardShape> shape_;  ///< Once it is asked for.
};

/// A shard that is one document: its whole content, without a byte order mark.
class TextReader final : public RecordReader {
 public:
  TextReader(std::string path, const ReadOptions& options, std::unique_ptr<ByteStream> bytes,
             std::uint64_t first_record)
      : path_(std::move(path)), most_bytes_(options.max_record_bytes), bytes_(std::move(bytes)), record_(first_record) {
    if (record_ > 0) bytes_.reset();
  }

  bool next(Record& record) override {
    if (!pending_ && bytes_ != nullptr) read();
    if (pending_) {
      record = std::move(*pending_);
      pending_.reset();
      return true;
    }
    if (!text_) return false;
    record = take_document();
    return true;
  }

  std::uint64_t next_record() const override { return record_; }
  SeekPoint seek_point() const override { return {}; }
  double share_read() const override { return record_ > 0 ? 1 : 0; }
  std::uint64_t file_bytes_read() const override { return 0; }

 private:
  RecordLocation where() const { return {path_, 0, 1, 0, length_}; }

  /// Up to the container's end, or to a fault that leaves the document incomplete.
  void read() {
    std::string text;
    std::vector<char> chunk(kChunkBytes);
    const std::unique_ptr<ByteStream> bytes = std::move(bytes_);
    try {
      for (;;) {
        const ByteStream::Piece piece = bytes->read(chunk.data(), chunk.size());
        length_ += piece.bytes;
        if (length_ <= most_bytes_) text.append(chunk.data(), piece.bytes);
        if (piece.fault) pending_ = damage(*piece.fault);
        if (piece.fault && piece.fault->cuts_line) return;
        if (piece.bytes == 0 && !piece.fault) break;
      }
    } catch (const std::system_error& error) {
      pending_ = unreadable(path_, 0, error.code().message());
      pending_->loss = {1, length_ + rest_of(path_, bytes->share_read(), length_)};
      return;
    }
    text_ = std::move(text);
  }

  /// Where the document is cut, all of it is lost.
  Reject damage(const ContainerFault& fault) const {
    Loss loss{0, fault.lost_content};
    if (fault.cuts_line) loss += {1, length_};
    return {{path_, 0, 1, 0}, fault.cause, fault.reason, fault.lost_bytes, loss};
  }

  Record take_document() {
    std::string text = std::move(*text_);
    text_.reset();
    ++record_;
    if (length_ > most_bytes_) {
      return rejected_record(where(), RejectCause::too_long,
                             fmt::format("the file has {} bytes, allowed are {}", length_, most_bytes_));
    }
    if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
    if (text.empty()) return rejected_record(where(), RejectCause::empty_text, "the file is empty");
    if (!is_utf8(text)) return rejected_record(where(), RejectCause::bad_utf8, "the file is not valid UTF-8");
    return Document{where(), std::move(text), {}};
  }

  static constexpr std::size_t kChunkBytes = 256 << 10;

  std::string path_;
  std::uint64_t most_bytes_;
  std::unique_ptr<ByteStream> bytes_;
  std::uint64_t record_;
  std::uint64_t length_ = 0;
  std::optional<std::string> text_;
  std::optional<Reject> pending_;
};

/// The reader of a file that could not even be opened.
class UnreadableShard final : public RecordReader {
 public:
  UnreadableShard(Reject reject, std::uint64_t first_record) : reject_(std::move(reject)), first_(first_record) {
    reject_.loss.bytes = rest_of(reject_.where.shard, 0, 0);
  }
  bool next(Record& record) override {
    if (told_) return false;
    told_ = true;
    record = std::move(reject_);
    return true;
  }
  std::uint64_t next_record() const override { return first_; }
  SeekPoint seek_point() const override { return {}; }
  double share_read() const override { return 1; }
  std::uint64_t file_bytes_read() const override { return 0; }

 private:
  Reject reject_;
  std::uint64_t first_;
  bool told_ = false;
};

std::vector<std::string> fields_of(const std::string& shard) {
  auto file = std::make_unique<InputFile>(shard);
  const Container container = container_of(*file);
  if (container == Container::parquet) return parquet_columns(shard);
  LineSplitter lines(open_bytes(std::move(file), container), ReadOptions{}.max_record_bytes);
  Line line;
  for (int seen = 0; seen < kLinesToDetect && lines.next(line) == LineSplitter::Step::line; ++seen) {
    std::vector<std::string> keys = keys_of(line.bytes);
    if (!keys.empty()) return keys;
  }
  return {};
}

std::optional<ForeignContainer> foreign_in(InputFile& file, bool is_text) {
  static_assert(kPackedHeadBytes <= InputFile::kMostPeeked);
  InputFile::View head = file.peek(kHeadBytes);
  head = file.peek(head_bytes({head.data, head.size}));
  std::optional<ForeignContainer> foreign = foreign_container({head.data, head.size}, is_text);
  if (!foreign && !file.is_stream() && container_of(file) == Container::parquet && has_encrypted_columns(file))
    foreign = encrypted_parquet();
  return foreign;
}

bool is_text_name(std::string_view path) {
  for (const std::string_view packed : {".zst", ".gz"}) {
    if (path.ends_with(packed)) path.remove_suffix(packed.size());
  }
  return path.ends_with(".txt");
}

}  // namespace

RecordLayout detect_layout(const std::string& shard) {
  std::vector<std::string> fields;
  try {
    fields = fields_of(shard);
  } catch (const std::system_error& error) {
    if (!is_wrong_path(error.code())) throw;
    return {};  // open_shard says what is wrong with it.
  }
  return fields.empty() && is_text_name(shard) ? layout_named("text") : layout_of_keys(fields);
}

void expect_readable(const Record& record) {
  const auto* reject = std::get_if<Reject>(&record);
  if (reject != nullptr && reject->cause == RejectCause::unreadable)
    throw DataError(fmt::format("{}: {}", reject->where.shard, reject->reason));
}

std::unique_ptr<RecordReader> open_shard(const std::string& path, const ReadOptions& options,
                                         std::uint64_t first_record, const SeekPoint& from) {
  try {
    auto file = std::make_unique<InputFile>(path);
    file->watch(options.on_bytes);
    if (const std::optional<ForeignContainer> foreign = foreign_in(*file, options.layout.is_text()))
      return std::make_unique<UnreadableShard>(unreadable(path, 0, foreign->told()), first_record);
    const Container container = container_of(*file);
    if (container == Container::parquet) return open_parquet(path, options, first_record);
    if (!options.filter.where.empty()) {
      throw ConfigError(
          fmt::format("{}: `where` is a condition on the columns of Parquet, and this shard holds {}; use keep or drop",
                      path, options.layout.is_text() ? "one text" : "JSON lines"));
    }
    if (options.layout.is_text())
      return std::make_unique<TextReader>(path, options, open_bytes(std::move(file), container), first_record);
    return std::make_unique<LinesReader>(path, options, open_bytes(std::move(file), container, from), first_record,
                                         from);
  } catch (const std::system_error& error) {
    return std::make_unique<UnreadableShard>(unreadable(path, 0, error.code().message()), first_record);
  }
}

std::unique_ptr<RecordReader> open_standard_input(const ReadOptions& options) {
  const std::string name = "standard input";
  std::unique_ptr<InputFile> input = InputFile::standard_input();
  if (const std::optional<ForeignContainer> foreign = foreign_in(*input, false))
    throw ConfigError(fmt::format("{}: {}", name, foreign->told()));
  const Container container = container_of(*input);
  if (container == Container::parquet)
    throw ConfigError(name + ": Parquet is not read from front to back: name the file, or save it as one");
  return std::make_unique<LinesReader>(name, options, open_bytes(std::move(input), container), 0, SeekPoint{});
}

std::optional<ForeignContainer> foreign_shard(const std::string& path, const std::string& layout) {
  try {
    // No more than is looked at: this is asked of every shard before a job begins.
    const InputFile file(path);
    std::string head(kHeadBytes, '\0');
    head.resize(file.read_at(0, head.data(), head.size()));
    if (const std::size_t read = head.size(), wanted = head_bytes(head); read == kHeadBytes && wanted > read) {
      head.resize(wanted);
      head.resize(read + file.read_at(read, head.data() + read, wanted - read));
    }
    if (head.starts_with(kParquetMagic) && has_encrypted_columns(file)) return encrypted_parquet();
    return foreign_container(head, layout.empty() ? is_text_name(path) : layout_named(layout).is_text());
  } catch (const std::system_error&) {
    return std::nullopt;
  }
}

}  // namespace millrace
