#include "pipeline/formats/olmo_format.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "stages/compression/gzip_member.h"
#include "stages/errors.h"
#include "stages/io/input_file.h"
#include "stages/shards/shard_to_bytes.h"

namespace millrace {
namespace {

constexpr std::size_t kBytesAPiece = 1 << 20;

std::string part_of(const std::string& corpus, std::uint64_t part) {
  return fmt::format("{}/part-00-{:05}", corpus, part);
}

/// On one line: OLMo's readers take a csv line by line.
std::string without_line_ends(const std::string& text) {
  std::string line;
  for (const char c : text) line += c == '\n' ? "\\n" : c == '\r' ? "\\r" : std::string(1, c);
  return line;
}

/// A CSV field: in quotes if it has a comma, a quote or a line's end.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

/// While a part is written, its csv is uncompressed; replacing it by the .csv.gz closes the part.
class OlmoWriter : public DocumentWriter {
 public:
  OlmoWriter(StagedFolder& folder, const DocumentFiles& files) : folder_(folder), files_(files) {
    while (folder_.has(part() + ".csv.gz")) ++part_;
    begin_part();
  }

  void add(const TokenDocument& document) override {
    const std::uint64_t bytes = document.tokens.size() * size_of(files_.id_type);
    if (folder_.size(part() + ".npy") > 0 && folder_.size(part() + ".npy") + bytes > files_.part_bytes) {
      finish();
      ++part_;
      begin_part();
    }
    const std::uint64_t start = folder_.size(part() + ".npy") / size_of(files_.id_type);
    // Parquet has no lines: there it is the row, counted from 1 too.
    const std::uint64_t line = document.where.line > 0 ? document.where.line : document.where.record + 1;
    append_ids(folder_, part() + ".npy", document.tokens, files_.id_type);
    folder_.append(part() + ".csv", fmt::format("{},{},{},{},{}\n", start, start + document.tokens.size(),
                                                csv_field(without_line_ends(document.id)),
                                                csv_field(without_line_ends(document.where.shard)), line));
  }

  void finish() override {
    const std::string csv = part() + ".csv";
    GzipMember compressed;
    std::string piece(kBytesAPiece, '\0');
    for (std::uint64_t at = 0; at < folder_.size(csv);) {
      const std::size_t got = folder_.read(csv, at, piece.data(), piece.size());
      folder_.append(csv + ".gz", compressed.add({piece.data(), got}));
      at += got;
    }
    folder_.append(csv + ".gz", compressed.finish());
    folder_.close(csv + ".gz");
    folder_.close(part() + ".npy");
    folder_.discard(csv);
  }

 private:
  std::string part() const { return part_of(files_.corpus, part_); }
  void begin_part() {
    folder_.create(part() + ".npy");
    folder_.create(part() + ".csv");
  }

  StagedFolder& folder_;
  const DocumentFiles files_;
  std::uint64_t part_ = 0;
};

/// The lines of a .csv.gz. Throws DataError if it is damaged.
class CsvLines {
 public:
  explicit CsvLines(const std::filesystem::path& file)
      : bytes_(open_bytes(std::make_unique<InputFile>(file.string()), Container::gzip)) {}

  /// Without its end; none at the file's end. A quoted field may have line ends of its own.
  std::optional<std::string> next() {
    std::string line;
    bool is_quoted = false;
    for (std::optional<char> c = take(); c; c = take()) {
      if (*c == '"') is_quoted = !is_quoted;
      if (*c == '\n' && !is_quoted) return line;
      line += *c;
    }
    if (!line.empty()) throw DataError("ends within a line");
    return std::nullopt;
  }

 private:
  std::optional<char> take() {
    if (at_ == held_.size()) {
      held_.resize(kBytesAPiece);
      const ByteStream::Piece piece = bytes_->read(held_.data(), held_.size());
      if (piece.fault) throw DataError(piece.fault->reason);
      held_.resize(piece.bytes);
      at_ = 0;
    }
    return at_ < held_.size() ? std::optional(held_[at_++]) : std::nullopt;
  }

  std::unique_ptr<ByteStream> bytes_;
  std::string held_;
  std::size_t at_ = 0;
};

/// The first two fields of a csv's lines, which must follow each other without a gap. Throws DataError naming the line.
class DocumentEnds {
 public:
  explicit DocumentEnds(const std::filesystem::path& csv) : lines_(csv) {}

  std::optional<std::uint64_t> next() {
    const std::optional<std::string> line = lines_.next();
    if (!line) return std::nullopt;
    ++count_;
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    const char* stop = line->data() + line->size();
    const auto [comma, bad_start] = std::from_chars(line->data(), stop, start);
    const bool has_end = bad_start == std::errc() && comma != stop && *comma == ',';
    if (!has_end || std::from_chars(comma + 1, stop, end).ec != std::errc())
      throw DataError(fmt::format("line {}: not start,end,id,src,loc", count_));
    if (start != last_ || end <= start)
      throw DataError(fmt::format("line {}: ids {} to {}, but the line before ends at {}", count_, start, end, last_));
    return last_ = end;
  }
  std::uint64_t count() const { return count_; }
  std::uint64_t last() const { return last_; }

 private:
  CsvLines lines_;
  std::uint64_t count_ = 0;
  std::uint64_t last_ = 0;
};

}  // namespace

std::unique_ptr<DocumentWriter> make_olmo_writer(StagedFolder& folder, const DocumentFiles& files) {
  return std::make_unique<OlmoWriter>(folder, files);
}

std::vector<Damage> damage_of_olmo(const std::filesystem::path& folder, const WrittenCorpus& corpus,
                                   const IdRules& rules) {
  std::vector<Damage> damage;
  std::uint64_t documents = 0;
  std::uint64_t tokens = 0;
  for (std::uint64_t part = 0; part == 0 || std::filesystem::exists(folder / (part_of(corpus.corpus, part) + ".npy"));
       ++part) {
    const std::string name = part_of(corpus.corpus, part);
    try {
      DocumentEnds ends(folder / (name + ".csv.gz"));
      for (std::string& what : damage_of_ids(folder / (name + ".npy"), rules, [&ends] { return ends.next(); }))
        damage.push_back({name + ".npy", std::move(what)});
      documents += ends.count();
      tokens += ends.last();
    } catch (const DataError& error) {
      damage.push_back({name + ".csv.gz", error.what()});
    }
  }
  if (documents != corpus.documents || tokens != corpus.tokens)
    damage.push_back({part_of(corpus.corpus, 0) + ".csv.gz",
                      fmt::format("and the parts behind it name {} documents with {} ids, but {} with {} were written",
                                  documents, tokens, corpus.documents, corpus.tokens)});
  return damage;
}

}  // namespace millrace
