#include "pipeline/corpora/vocabulary_text.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "stages/errors.h"
#include "stages/shards/shard_to_records.h"
#include "stages/tokenizer/vocabulary_training.h"

namespace millrace {
namespace {

constexpr std::uint64_t kReadAhead = 8;
constexpr std::uint64_t kLeastFromAShard = 1 << 20;
constexpr std::size_t kPieceBytes = 4096;

/// The next piece of a document: whole lines where they are short enough, never half a character.
std::string_view take_piece(std::string_view& document) {
  std::size_t size = document.size();
  if (size > kPieceBytes) {
    const std::size_t newline = document.rfind('\n', kPieceBytes - 1);
    size = newline != std::string_view::npos ? newline + 1 : kPieceBytes;
    while (size > 1 && (static_cast<unsigned char>(document[size]) & 0xC0) == 0x80) --size;
  }
  const std::string_view piece = document.substr(0, size);
  document.remove_prefix(size);
  return piece;
}

void read_shard(const std::string& shard, std::uint64_t most, TrainingText& text, std::vector<std::string>& documents,
                const JobCallbacks& callbacks) {
  const std::unique_ptr<RecordReader> reader = open_shard(shard, {detect_layout(shard)});
  std::uint64_t read = 0;
  for (Record record; read < most && reader->next(record);) {
    callbacks.leave_if_interrupted();
    auto* document = std::get_if<Document>(&record);
    if (document == nullptr) {
      expect_readable(record);
      ++text.rejects;
      continue;
    }
    document->text.resize(std::min<std::uint64_t>(document->text.size(), most - read));
    read += document->text.size();
    documents.push_back(std::move(document->text));
  }
  text.read_bytes += read;
}

}  // namespace

TrainingText choose_training_text(const std::vector<std::string>& shards, std::uint64_t bytes,
                                  const JobCallbacks& callbacks) {
  TrainingText text;
  std::vector<std::string> documents;
  const std::uint64_t most = std::max(kLeastFromAShard, kReadAhead * bytes / std::max<std::uint64_t>(shards.size(), 1));
  for (std::size_t i = 0; i < shards.size(); ++i) {
    callbacks.progress("reading shards", i, shards.size(), "shards");
    read_shard(shards[i], most, text, documents, callbacks);
  }
  callbacks.progress("reading shards", shards.size(), shards.size(), "shards");
  const std::uint64_t wanted = std::min(bytes, text.read_bytes);
  std::uint64_t passed = 0;
  for (const std::string& document : documents) {
    for (std::string_view rest = document; !rest.empty();) {
      const std::string_view piece = take_piece(rest);
      passed += piece.size();
      // Taken whenever what is taken lags behind the even share of what has passed.
      if (static_cast<double>(text.bytes) * static_cast<double>(text.read_bytes) >=
          static_cast<double>(passed) * static_cast<double>(wanted)) {
        continue;
      }
      text.bytes += piece.size();
      cut_into_lines(piece, text.lines);
    }
  }
  if (text.lines.empty()) throw ConfigError("the shards hold no text to train a vocabulary on");
  return text;
}

}  // namespace millrace
