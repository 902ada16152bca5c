#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "stages/records.h"

namespace millrace {

/// Characters (code points) of a text, [begin, end).
struct PieceSpan {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  bool operator==(const PieceSpan&) const = default;
};

/// Which part of its text each id of a vocabulary stands for, as libsentencepiece aligns them; so it takes some ten
/// times as long as the ids. Immutable; one object serves every thread.
class PieceSpans {
 public:
  /// Throws ConfigError if `model` is no SentencePiece model.
  explicit PieceSpans(const std::filesystem::path& model);
  ~PieceSpans();

  /// A blank belongs to the piece that it begins; the blank that the model puts in front of a text has no characters;
  /// the byte pieces of a character have that character, each. REQUIRES: `text` is UTF-8, `ids` are what
  /// Vocabulary::encode makes of it with this model. Throws std::logic_error if they are not.
  std::vector<PieceSpan> operator()(std::string_view text, const std::vector<TokenId>& ids) const;

 private:
  struct Library;
  std::unique_ptr<const Library> library_;
};

}  // namespace millrace
