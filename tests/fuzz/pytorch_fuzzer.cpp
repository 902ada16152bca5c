// A file of torch.save's of the input's bytes: it is refused with its name, or its tensors lie within it. So that the
// fuzzer finds both readers quickly, the input is tried as the archive, and as the pickle in a good one.
#include <set>
#include <string>
#include <vector>

#include "stages/errors.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/require.h"
#include "tests/stored_zip.h"
#include "trainer/weights/pytorch_file.h"

namespace millrace {
namespace {

void try_tensors(const PyTorchFile& file, std::size_t size) {
  std::set<std::string> names;
  for (const TensorView& tensor : file.tensors()) {
    require(names.insert(tensor.name).second, "no name comes twice");
    for (const std::int64_t extent : tensor.shape) require(extent >= 0, "an extent is no negative number");
    require(tensor.bytes() <= size, "a tensor is no larger than the file");
    unsigned sum = 0;
    for (std::size_t i = 0; i < tensor.bytes(); ++i) sum += static_cast<unsigned>(tensor.data[i]);
    require(sum + 1 > 0, "every byte can be read");
    try {
      std::vector<float> numbers(static_cast<std::size_t>(tensor.elements()));
      copy_as_f32(tensor, numbers.data());
    } catch (const ConfigError&) {  // Not of floating-point numbers.
    }
  }
  std::uint64_t checked = 0;
  file.check([&](std::uint64_t bytes) { checked += bytes; });
  require(checked == file.bytes(), "all that tensors lie in is checked");
}

void try_file(const std::string& bytes) {
  const MemoryFile memory(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  try {
    try_tensors(PyTorchFile(memory.path()), bytes.size());
  } catch (const ConfigError& error) {
    require(std::string(error.what()).starts_with(memory.path()), "a refusal begins with the file");
  }
}

std::string around(const std::string& pickle) {
  StoredZip zip;
  zip.add("archive/data.pkl", pickle);
  for (const char* name : {"archive/data/0", "archive/data/1"}) zip.add(name, std::string(64, '\x3f'));
  return zip.finished();
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  millrace::try_file(input);
  millrace::try_file(millrace::around(input));
  return 0;
}
