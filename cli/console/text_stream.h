#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "stages/records.h"

namespace millrace {

/// Shows a growing sequence of ids as text. An incomplete character at the end, which decodes to U+FFFD, is held back
/// because it may still change. So only whole characters are shown, nothing is taken back, and the parts together are
/// the whole text. One thread.
class TextStream {
 public:
  using Decode = std::function<std::string(const std::vector<TokenId>&)>;  ///< All ids -> their text, in UTF-8.
  using Show = std::function<void(std::string_view)>;

  TextStream(Decode decode, Show show) : decode_(std::move(decode)), show_(std::move(show)) {}

  void add(const std::vector<TokenId>& ids);
  void finish();  ///< Shows what was held back. Call once, last.

 private:
  void show_up_to(const std::string& text, std::size_t end);

  Decode decode_;
  Show show_;
  std::vector<TokenId> ids_;
  std::size_t shown_ = 0;  ///< Bytes.
};

}  // namespace millrace
