// A safetensors file of the input's bytes: it is refused with a reason, or its tensors tile it. The input follows eight
// bytes with the header's length, so that the fuzzer finds headers quickly.
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "stages/errors.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/require.h"
#include "trainer/weights/safetensors.h"

namespace millrace {
namespace {

void try_tensors(const SafetensorsFile& file, std::size_t size) {
  std::size_t bytes = 0;
  std::set<std::string> names;
  unsigned sum = 0;
  for (const TensorView& tensor : file.tensors()) {
    require(names.insert(tensor.name).second, "no name comes twice");
    require(file.find(tensor.name) == &tensor, "a tensor is found by its name");
    for (const std::int64_t extent : tensor.shape) require(extent >= 0, "an extent is no negative number");
    bytes += tensor.bytes();
    require(bytes < size, "tensors do not overlap, and stay within the file");
    for (std::size_t i = 0; i < tensor.bytes(); ++i) sum += static_cast<unsigned>(tensor.data[i]);
    try {
      std::vector<float> numbers(static_cast<std::size_t>(tensor.elements()));
      copy_as_f32(tensor, numbers.data());
    } catch (const ConfigError&) {  // Not of floating-point numbers.
    }
  }
  require(sum + bytes + 1 > 0, "every byte can be read");
}

void try_file(const std::string& bytes) {
  const MemoryFile memory(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  try {
    const SafetensorsFile file(memory.path());
    try_tensors(file, bytes.size());
  } catch (const ConfigError& error) {
    require(std::string(error.what()).starts_with(memory.path()), "a refusal begins with the file");
  }
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  millrace::try_file(input);
  // The header ends at the last bracket; the rest is data.
  const std::uint64_t header = input.rfind('}') == input.npos ? size : input.rfind('}') + 1;
  std::string length(sizeof header, '\0');
  std::memcpy(length.data(), &header, sizeof header);
  millrace::try_file(length + input);
  return 0;
}
