// Mix and objective files: a text is refused with the location of the error, or the value survives being written and
// read again.
#include <string>

#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "stages/errors.h"
#include "tests/fuzz/require.h"

namespace millrace {
namespace {

template <class Read>
void try_text(const std::string& text, const Read& read) {
  std::string written;
  try {
    written = to_toml(read(text, "fuzzed.toml"));
  } catch (const ConfigError& error) {
    require(std::string(error.what()).find("fuzzed.toml") != std::string::npos, "a refusal names the file");
    return;
  }
  try {
    require(to_toml(read(written, "written.toml")) == written, "what is written reads back the same");
  } catch (const ConfigError&) {
    require(false, "what is written can be read");
  }
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  // A file named by "extends" would be read from disk.
  if (text.find("extend") != std::string::npos) return 0;
  millrace::try_text(text, millrace::mix_from_toml);
  millrace::try_text(text, millrace::objective_from_toml);
  return 0;
}
