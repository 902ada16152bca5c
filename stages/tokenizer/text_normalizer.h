#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "stages/tokenizer/vocabulary_file.h"

namespace millrace {

/// U+2581, which stands for a blank.
inline constexpr std::string_view kBlankMark = "\xE2\x96\x81";

/// SentencePiece's normalization, as the model file asks for it: character map, user-defined pieces left alone, runs of
/// blanks, dummy prefix, invalid UTF-8 replaced byte by byte. Immutable; one object serves every thread.
class TextNormalizer {
 public:
  /// Keeps views into the file's bytes, which must outlive it. Throws std::invalid_argument if the character map is
  /// damaged.
  explicit TextNormalizer(const VocabularyFile& file);
  ~TextNormalizer();

  /// `out` becomes the normal form of `text`. Where whitespace is escaped, one blank stands in `out` for each U+2581:
  /// no other blank can be there, and the encoder's pieces have the same form (see piece_form).
  void operator()(std::string_view text, std::string& out) const;

  /// A piece of the vocabulary in the form that it has in normalized text. While blanks are escaped, no text can become
  /// a piece that holds a blank: its form is empty.
  std::string piece_form(std::string_view piece) const;
  /// True if a blank of the normal form is three bytes, U+2581, to SentencePiece.
  bool escapes() const { return escape_; }

 private:
  struct Rules;
  struct Step;
  Step step(std::string_view text) const;
  /// False: the text consists only of blanks that are removed.
  bool rewrite(std::string_view text, std::string& out) const;

  bool dummy_prefix_, remove_extra_, escape_, as_suffix_;
  std::unique_ptr<const Rules> rules_;  ///< Null: characters are not changed.
};

}  // namespace millrace
