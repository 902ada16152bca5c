#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace millrace {

/// Streaming xxh3_64. One object, one thread.
class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  ContentHash(const ContentHash&) = delete;
  ContentHash& operator=(const ContentHash&) = delete;

  void add(const void* data, std::size_t bytes);
  /// Hash of the bytes added so far, as 16 hex digits.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace
