#include "pipeline/sample/sample_text.h"

#include <memory>
#include <system_error>
#include <utility>

#include "pipeline/sample/roff_to_text.h"
#include "stages/shards/shard_to_bytes.h"
#include "stages/utf8.h"

namespace millrace {
namespace {

constexpr std::size_t kSmallest = 200;
constexpr std::size_t kLargest = 1 << 20;  // The Stack's own limit.

/// False if the file is longer than kLargest or damaged.
bool read_whole(const std::string& path, std::string& bytes) {
  auto file = std::make_unique<InputFile>(path);
  const Container container = container_of(*file);
  if (container == Container::parquet) return false;
  const std::unique_ptr<ByteStream> stream = open_bytes(std::move(file), container);
  bytes.resize(kLargest + 1);
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ByteStream::Piece piece = stream->read(bytes.data() + filled, bytes.size() - filled);
    if (piece.fault) return false;
    if (piece.bytes == 0) break;
    filled += piece.bytes;
  }
  bytes.resize(filled);
  return filled <= kLargest;
}

}  // namespace

const char* name_of(LeftOut reason) {
  switch (reason) {
    case LeftOut::none:
      return "taken";
    case LeftOut::binary:
      return "binary";
    case LeftOut::not_utf8:
      return "not UTF-8";
    case LeftOut::duplicate:
      return "duplicates";
    case LeftOut::too_small:
      return "under 200 bytes";
    case LeftOut::too_large:
      return "over 1 MiB or damaged";
    case LeftOut::unreadable:
      return "unreadable";
  }
  return "";
}

LeftOut load_sample_text(const SampleSource& source, SampleCorpus corpus, std::string& text) {
  try {
    if (!read_whole(source.file, text)) return LeftOut::too_large;
  } catch (const std::system_error&) {
    return LeftOut::unreadable;
  }
  if (text.find('\0') != std::string::npos) return LeftOut::binary;
  if (!is_utf8(text)) return LeftOut::not_utf8;
  if (corpus == SampleCorpus::man || corpus == SampleCorpus::man_translated) {
    text = roff_to_text(text);
    if (!is_utf8(text)) return LeftOut::not_utf8;
  }
  return text.size() < kSmallest ? LeftOut::too_small : LeftOut::none;
}

}  // namespace millrace
