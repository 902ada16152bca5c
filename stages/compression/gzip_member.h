#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace millrace {

/// Compresses a stream of pieces into one gzip member without time or file name. The output depends only on the bytes
/// and the zlib version, not on how they are cut into pieces. One object, one thread.
class GzipMember {
 public:
  GzipMember();
  ~GzipMember();
  GzipMember(const GzipMember&) = delete;
  GzipMember& operator=(const GzipMember&) = delete;

  /// Compresses `bytes`. Returns the output that is ready; may be empty.
  std::string add(std::string_view bytes);
  /// The rest of the member. Call once, last.
  std::string finish();

 private:
  struct State;
  std::string deflated(std::string_view bytes, int flush);
  std::unique_ptr<State> state_;
};

}  // namespace millrace
