#include "pipeline/formats/megatron_format.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "stages/errors.h"
#include "stages/io/input_file.h"

namespace millrace {
namespace {

constexpr std::array<char, 9> kMagicOfIndex{'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'};
constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kHeader = 34;
constexpr std::uint64_t kFirstI32 = 65'500;      // Vocabularies from this size on.
constexpr std::size_t kNumbersAPiece = 1 << 17;  // Numbers held at a time.

std::string bin_of(const std::string& corpus) {
  return corpus + "_text_document.bin";
}
std::string idx_of(const std::string& corpus) {
  return corpus + "_text_document.idx";
}

std::uint8_t code_of(IdType type) {
  return type == IdType::u16 ? 8 : 4;
}

/// While a corpus is written, its lengths are in a file of their own, because the index begins with their number.
class MegatronWriter : public DocumentWriter {
 public:
  MegatronWriter(StagedFolder& folder, const DocumentFiles& files)
      : folder_(folder),
        type_(files.id_type),
        bin_(bin_of(files.corpus)),
        idx_(idx_of(files.corpus)),
        lengths_(files.corpus + "_text_document.lengths") {
    folder_.create(bin_);
    folder_.create(lengths_);
  }

  void add(const TokenDocument& document) override {
    if (document.tokens.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
      throw DataError(fmt::format("{}: record {} has {} tokens, more than Megatron's index can say",
                                  document.where.shard, document.where.record, document.tokens.size()));
    append_ids(folder_, bin_, document.tokens, type_);
    const auto length = static_cast<std::int32_t>(document.tokens.size());
    folder_.append(lengths_, &length, sizeof length);
  }

  void finish() override {
    const std::uint64_t documents = folder_.size(lengths_) / sizeof(std::int32_t);
    std::string header(kMagicOfIndex.data(), kMagicOfIndex.size());
    append_number(header, kVersion);
    append_number(header, code_of(type_));
    append_number(header, documents);
    append_number(header, documents + 1);
    folder_.append(idx_, header);
    for_each_length([](std::int32_t length, std::string& out) { append_number(out, length); });
    std::int64_t offset = 0;
    for_each_length([&](std::int32_t length, std::string& out) {
      append_number(out, offset);
      offset += length * static_cast<std::int64_t>(size_of(type_));
    });
    folder_.append(idx_, std::string(sizeof(std::int64_t), '\0'));
    std::int64_t sequence = 0;
    for_each_length([&](std::int32_t, std::string& out) { append_number(out, ++sequence); });
    folder_.close(bin_);
    folder_.close(idx_);
    folder_.discard(lengths_);
  }

 private:
  /// Appends to the index what `put` returns for each length.
  template <class Put>
  void for_each_length(const Put& put) {
    std::vector<std::int32_t> lengths(kNumbersAPiece);
    for (std::uint64_t at = 0; at < folder_.size(lengths_);) {
      const std::size_t got = folder_.read(lengths_, at, lengths.data(), lengths.size() * sizeof lengths[0]);
      bytes_.clear();
      for (std::size_t i = 0; i < got / sizeof lengths[0]; ++i) put(lengths[i], bytes_);
      folder_.append(idx_, bytes_);
      at += got;
    }
  }

  StagedFolder& folder_;
  const IdType type_;
  const std::string bin_, idx_, lengths_;
  std::string bytes_;
};

template <class Number>
Number number_at(const InputFile& file, std::uint64_t offset) {
  Number number{};
  if (file.read_at(offset, reinterpret_cast<char*>(&number), sizeof number) < sizeof number)
    throw DataError(fmt::format("byte {}: the file ends within a number", offset));
  return number;
}

/// An index, number by number, a piece in memory at a time.
template <class Number>
class NumberArray {
 public:
  NumberArray(const InputFile& file, std::uint64_t offset) : file_(file), offset_(offset) {}
  std::uint64_t offset() const { return offset_ + at_ * sizeof(Number); }
  Number next() {
    if (at_ % kNumbersAPiece == 0) {
      piece_.resize(kNumbersAPiece);
      file_.read_at(offset(), reinterpret_cast<char*>(piece_.data()), piece_.size() * sizeof(Number));
    }
    return piece_[at_++ % kNumbersAPiece];
  }

 private:
  const InputFile& file_;
  std::uint64_t offset_;
  std::uint64_t at_ = 0;
  std::vector<Number> piece_;
};

void check_index(const InputFile& file, const WrittenCorpus& corpus, IdType type) {
  std::array<char, kMagicOfIndex.size()> magic{};
  file.read_at(0, magic.data(), magic.size());
  if (magic != kMagicOfIndex) throw DataError("byte 0: not the magic number of an index");
  const auto expect = [](std::uint64_t byte, const char* what, auto found, auto expected) {
    if (static_cast<std::int64_t>(found) != static_cast<std::int64_t>(expected))
      throw DataError(fmt::format("byte {}: {} is {}, expected {}", byte, what, found, expected));
  };
  expect(9, "the version", number_at<std::uint64_t>(file, 9), kVersion);
  expect(17, "the type of ids", number_at<std::uint8_t>(file, 17), code_of(type));
  expect(18, "the number of sequences", number_at<std::uint64_t>(file, 18), corpus.documents);
  expect(26, "the length of the document array", number_at<std::uint64_t>(file, 26), corpus.documents + 1);
  const std::uint64_t documents = corpus.documents;
  const std::uint64_t whole = kHeader + 12 * documents + 8 * (documents + 1);
  if (file.size() != whole) throw DataError(fmt::format("has {} bytes, expected {}", file.size(), whole));
  NumberArray<std::int32_t> lengths(file, kHeader);
  NumberArray<std::int64_t> offsets(file, kHeader + 4 * documents);
  NumberArray<std::int64_t> ends(file, kHeader + 12 * documents);
  std::int64_t offset = 0;
  expect(ends.offset(), "the first entry of the document array", ends.next(), 0);
  for (std::uint64_t i = 0; i < documents; ++i) {
    std::uint64_t byte = lengths.offset();
    const std::int32_t length = lengths.next();
    if (length < 1) throw DataError(fmt::format("byte {}: a sequence of {} ids", byte, length));
    byte = offsets.offset();
    expect(byte, "the offset of a sequence", offsets.next(), offset);
    byte = ends.offset();
    expect(byte, "the end of a document", ends.next(), i + 1);
    offset += length * static_cast<std::int64_t>(size_of(type));
  }
  if (static_cast<std::uint64_t>(offset) != corpus.tokens * size_of(type))
    throw DataError(fmt::format("its sequences have {} bytes, but {} ids were written", offset, corpus.tokens));
}

}  // namespace

IdType megatron_id_type(std::uint64_t vocabulary_size) {
  return vocabulary_size < kFirstI32 ? IdType::u16 : IdType::i32;
}

std::unique_ptr<DocumentWriter> make_megatron_writer(StagedFolder& folder, const DocumentFiles& files) {
  return std::make_unique<MegatronWriter>(folder, files);
}

std::vector<Damage> damage_of_megatron(const std::filesystem::path& folder, const WrittenCorpus& corpus,
                                       const IdRules& rules) {
  std::vector<Damage> damage;
  const std::string index = idx_of(corpus.corpus);
  const InputFile file((folder / index).string());
  try {
    check_index(file, corpus, rules.type);
  } catch (const DataError& error) {
    return {{index, error.what()}};
  }
  NumberArray<std::int32_t> lengths(file, kHeader);
  std::uint64_t document = 0;
  std::uint64_t end = 0;
  const auto next_end = [&]() -> std::optional<std::uint64_t> {
    if (document++ == corpus.documents) return std::nullopt;
    return end += static_cast<std::uint64_t>(lengths.next());
  };
  for (std::string& what : damage_of_ids(folder / bin_of(corpus.corpus), rules, next_end))
    damage.push_back({bin_of(corpus.corpus), std::move(what)});
  return damage;
}

}  // namespace millrace
