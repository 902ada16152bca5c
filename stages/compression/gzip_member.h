#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace millrace {

/// Compresses bytes that come piece by piece into one gzip member without a time or a name in it: the same bytes for
/// the same library, however the pieces are cut. One object, one thread.
class GzipMember {
 public:
  GzipMember();
  ~GzipMember();
  GzipMember(const GzipMember&) = delete;
  GzipMember& operator=(const GzipMember&) = delete;

  /// What can be written so far of the member with `bytes` added; may be empty.
  std::string add(std::string_view bytes);
  /// The rest of the member. Call once, last.
  std::string finish();

 private:
  struct State;
  std::string deflated(std::string_view bytes, int flush);
  std::unique_ptr<State> state_;
};

}  // namespace millrace
