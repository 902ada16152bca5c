#include "stages/tokenizer/piece_spans.h"

#include <stdexcept>

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "stages/errors.h"
#include "stages/tokenizer/vocabulary_file.h"

namespace millrace {
namespace {

/// Places in a text as bytes, given in ascending order, to places as characters.
class CharacterCount {
 public:
  explicit CharacterCount(std::string_view text) : text_(text) {}

  std::int64_t up_to(std::size_t byte) {
    for (; at_ < byte; ++at_) count_ += (static_cast<unsigned char>(text_[at_]) & 0xC0) != 0x80 ? 1 : 0;
    return count_;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace

struct PieceSpans::Library {
  sentencepiece::SentencePieceProcessor processor;
};

PieceSpans::PieceSpans(const std::filesystem::path& model) {
  auto library = std::make_unique<Library>();
  const auto status = library->processor.LoadFromSerializedProto(read_vocabulary_bytes(model));
  if (!status.ok())
    throw ConfigError(fmt::format("vocabulary {}: not a SentencePiece model: {}", model.string(), status.ToString()));
  library_ = std::move(library);
}

PieceSpans::~PieceSpans() = default;

std::vector<PieceSpan> PieceSpans::operator()(std::string_view text, const std::vector<TokenId>& ids) const {
  const sentencepiece::ImmutableSentencePieceText encoded = library_->processor.EncodeAsImmutableProto(text);
  const auto pieces = encoded.pieces();
  bool same = pieces.size() == ids.size();
  for (std::size_t i = 0; same && i < ids.size(); ++i) same = static_cast<TokenId>(pieces[i].id()) == ids[i];
  if (!same)
    throw std::logic_error("libsentencepiece gives a text other ids than millrace: the spans would be of those");
  std::vector<PieceSpan> spans;
  spans.reserve(pieces.size());
  CharacterCount characters(text);
  for (const auto& piece : pieces) {
    const std::int64_t begin = characters.up_to(piece.begin());
    spans.push_back({begin, characters.up_to(piece.end())});
  }
  // Of a character's byte pieces the library gives the last one the character, the others nothing at its beginning.
  for (std::size_t i = spans.size(); i-- > 1;) {
    const bool is_byte = library_->processor.IsByte(ids[i - 1]) && library_->processor.IsByte(ids[i]);
    if (is_byte && spans[i - 1].begin == spans[i - 1].end && spans[i - 1].begin == spans[i].begin)
      spans[i - 1] = spans[i];
  }
  return spans;
}

}  // namespace millrace
