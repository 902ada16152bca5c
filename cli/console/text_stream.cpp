#include "cli/console/text_stream.h"

namespace millrace {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

void TextStream::add(const std::vector<TokenId>& ids) {
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  const std::string text = decode_(ids_);
  std::string_view sure = text;
  while (sure.ends_with(kReplacement)) sure.remove_suffix(kReplacement.size());
  show_up_to(text, sure.size());
}

void TextStream::finish() {
  const std::string text = decode_(ids_);
  show_up_to(text, text.size());
}

void TextStream::show_up_to(const std::string& text, std::size_t end) {
  if (end <= shown_) return;
  show_(std::string_view(text).substr(shown_, end - shown_));
  shown_ = end;
}

}  // namespace millrace
