#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// Longest line that training looks at whole; cut_into_lines keeps to it.
inline constexpr std::size_t kLongestTrainingLine = 4096;

/// A SentencePiece unigram vocabulary with umT5's own settings, as the bytes of a model file: identity normalizer,
/// blanks kept, digits split, bytes for what has no piece, pad 0, eos 1, bos 2, unk 3, and umT5's thirteen marks.
/// The same lines give the same bytes: threads and seed are fixed, and no path is in them. Takes a minute or so for
/// 10 MB on two cores. Throws ConfigError if the lines do not hold that many pieces.
std::string train_vocabulary(const std::vector<std::string>& lines, int pieces);

/// Adds the lines of a document to `lines`, as training wants them: without newlines, none empty, long ones cut
/// behind a blank or between characters.
void cut_into_lines(std::string_view document, std::vector<std::string>& lines);

}  // namespace millrace
