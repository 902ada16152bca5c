// A vocabulary's file: it is refused with its name, or text can be encoded and decoded safely.
#include <string>

#include "stages/errors.h"
#include "stages/tokenizer/vocabulary.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/require.h"

namespace millrace {
namespace {

constexpr const char* kText = "The mill  turns.\nein \xC3\xA9tage \xE6\x97\xA5\xE6\x9C\xAC \xFF 12";

void try_vocabulary(const std::uint8_t* data, std::size_t size) {
  const MemoryFile memory(data, size);
  try {
    const Vocabulary vocabulary(memory.path());
    const std::vector<TokenId> ids = vocabulary.encode(kText);
    for (const TokenId id : ids) require(id >= 0 && id < vocabulary.pieces(), "an id is a piece's");
    (void)vocabulary.decode(ids);
    for (TokenId id = 0; id < std::min(vocabulary.size(), 1000); ++id) (void)vocabulary.piece(id);
    require(vocabulary.pad() < vocabulary.pieces() && vocabulary.eos() < vocabulary.pieces(), "pad and eos are pieces");
  } catch (const ConfigError& error) {
    require(std::string(error.what()).find(memory.path()) != std::string::npos, "a refusal names the file");
  }
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  millrace::try_vocabulary(data, size);
  return 0;
}
