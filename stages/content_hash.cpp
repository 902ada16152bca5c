#include "stages/content_hash.h"

#include <new>

#include <fmt/format.h>
#include <xxhash.h>

namespace millrace {

struct ContentHash::State {
  State() {
    if (xxh3 == nullptr) throw std::bad_alloc();
    XXH3_64bits_reset(xxh3);
  }
  ~State() { XXH3_freeState(xxh3); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  XXH3_state_t* const xxh3 = XXH3_createState();
};

ContentHash::ContentHash() : state_(std::make_unique<State>()) {}

ContentHash::~ContentHash() = default;

void ContentHash::add(const void* data, std::size_t bytes) {
  XXH3_64bits_update(state_->xxh3, data, bytes);
}

std::string ContentHash::hex() const {
  return fmt::format("{:016x}", XXH3_64bits_digest(state_->xxh3));
}

}  // namespace millrace
