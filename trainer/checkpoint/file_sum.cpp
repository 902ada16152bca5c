#include "trainer/checkpoint/file_sum.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <xxhash.h>

#include "stages/io/atomic_file.h"
#include "stages/io/input_file.h"

namespace millrace {
namespace {

class Summing {
 public:
  Summing() : state_(XXH3_createState(), XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void add(std::string_view bytes) {
    XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
    bytes_ += bytes.size();
  }
  FileSum sum(std::string name) const {
    return {std::move(name), bytes_, fmt::format("{:016x}", XXH3_64bits_digest(state_.get()))};
  }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

FileSum sum_of(const std::filesystem::path& path) {
  InputFile file(path.string());
  Summing summing;
  std::vector<char> block(std::size_t{1} << 20);
  while (const std::size_t bytes = file.read(block.data(), block.size())) summing.add({block.data(), bytes});
  return summing.sum(path.filename().string());
}

FileSum write_summed(const std::filesystem::path& folder, const TensorFile& file) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  const SafetensorsLayout layout = layout_of(file.tensors, file.metadata);
  Summing summing;
  AtomicFile out(folder / file.name);
  const auto append = [&](std::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(kPiece, bytes.size()))) {
      const std::string_view piece = bytes.substr(0, kPiece);
      summing.add(piece);
      out.write(piece);
    }
  };
  append(layout.head);
  for (const TensorView& tensor : layout.tensors) append({reinterpret_cast<const char*>(tensor.data), tensor.bytes()});
  out.commit();
  return summing.sum(file.name);
}

}  // namespace millrace
