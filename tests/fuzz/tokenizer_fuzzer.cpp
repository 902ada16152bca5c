// Compares the unigram encoder with libsentencepiece: the same ids for any text, with vocabularies that the input
// determines and with the one that MILLRACE_FUZZ_MODEL names. A byte 1 in the input repeats the next character, so that
// short inputs make long runs and large sums.
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include "stages/philox.h"
#include "tests/fuzz/require.h"
#include "tests/stages/tokenizer/random_model.h"
#include "tests/stages/tokenizer/unigram_peer.h"

namespace millrace {
namespace {

constexpr std::size_t kCacheBytes = 4096;
constexpr unsigned kModels = 256;
constexpr unsigned char kRepeat = 1;
constexpr int kTimesPerUnit = 16;

UnigramPeer& drawn_peer(unsigned number) {
  static std::map<unsigned, std::unique_ptr<UnigramPeer>> peers;
  std::unique_ptr<UnigramPeer>& peer = peers[number];
  if (peer == nullptr) {
    ItemRng rng(number, Purpose::generation, 0);
    const auto draw = [&rng](std::uint64_t below) { return static_cast<std::size_t>(rng.below(below)); };
    peer = std::make_unique<UnigramPeer>(random_model(draw).bytes(), kCacheBytes);
  }
  return *peer;
}

UnigramPeer* named_peer() {
  static const std::unique_ptr<UnigramPeer> peer = [] {
    const char* path = std::getenv("MILLRACE_FUZZ_MODEL");
    if (path == nullptr) return std::unique_ptr<UnigramPeer>();
    std::ifstream in(path, std::ios::binary);
    return std::make_unique<UnigramPeer>(std::string{std::istreambuf_iterator<char>(in), {}}, kCacheBytes);
  }();
  return peer.get();
}

/// Expands each sequence kRepeat, count, character.
std::string unfolded(std::string_view input) {
  std::string text;
  for (std::size_t i = 0; i < input.size(); ++i) {
    const auto byte = static_cast<unsigned char>(input[i]);
    if (byte != kRepeat || i + 2 >= input.size()) {
      text += input[i];
      continue;
    }
    const std::size_t length =
        std::min(character_length(static_cast<unsigned char>(input[i + 2])), input.size() - i - 2);
    for (int times = kTimesPerUnit * static_cast<unsigned char>(input[i + 1]); times > 0; --times)
      text += input.substr(i + 2, length);
    i += 1 + length;
  }
  return text;
}

void compare(std::string_view input) {
  if (input.size() < 2) return;
  const unsigned number = static_cast<unsigned char>(input[0]) % kModels;
  const bool named = (static_cast<unsigned char>(input[1]) & 1U) != 0 && named_peer() != nullptr;
  UnigramPeer& peer = named ? *named_peer() : drawn_peer(number);
  const std::string text = unfolded(input.substr(2));
  require(peer.ours(text) == peer.theirs(text), "our ids are libsentencepiece's");
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  millrace::compare({reinterpret_cast<const char*>(data), size});
  return 0;
}
