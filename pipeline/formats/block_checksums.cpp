#include "pipeline/formats/block_checksums.h"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/io/input_file.h"

namespace millrace {

void to_json(Json& json, const BlockChecksums& sums) {
  json = {{"bytes", sums.bytes}, {"xxh3_64", sums.blocks}};
}

void from_json(const JsonValue& json, BlockChecksums& sums) {
  sums = {json.get<std::uint64_t>("bytes"), json.get<std::vector<std::string>>("xxh3_64")};
  const std::uint64_t blocks = sums.bytes / BlockChecksums::kBlock + (sums.bytes % BlockChecksums::kBlock == 0 ? 0 : 1);
  if (sums.blocks.size() != blocks)
    json.fail(fmt::format("has {} sums, expected {} for {} bytes", sums.blocks.size(), blocks, sums.bytes));
}

RunningSums::RunningSums(const BlockChecksums& so_far, const std::vector<char>& rest) {
  const std::uint64_t full = so_far.bytes / BlockChecksums::kBlock;
  whole_.bytes = full * BlockChecksums::kBlock;
  whole_.blocks.assign(so_far.blocks.begin(), so_far.blocks.begin() + static_cast<std::ptrdiff_t>(full));
  add(rest.data(), rest.size());
}

void RunningSums::add(const void* data, std::size_t bytes) {
  const auto* at = static_cast<const char*>(data);
  while (bytes > 0) {
    if (open_ == nullptr) open_ = std::make_unique<ContentHash>();
    const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, BlockChecksums::kBlock - open_bytes_));
    open_->add(at, taken);
    open_bytes_ += taken;
    at += taken;
    bytes -= taken;
    if (open_bytes_ < BlockChecksums::kBlock) continue;
    whole_.blocks.push_back(open_->hex());
    whole_.bytes += open_bytes_;
    open_.reset();
    open_bytes_ = 0;
  }
}

BlockChecksums RunningSums::sums() const {
  BlockChecksums sums = whole_;
  if (open_ != nullptr) sums.blocks.push_back(open_->hex());
  sums.bytes += open_bytes_;
  return sums;
}

std::vector<std::string> damage_of_file(const std::filesystem::path& path, const BlockChecksums& sums) {
  if (!std::filesystem::is_regular_file(path)) return {"is missing"};
  try {
    InputFile file(path.string());
    std::vector<std::string> damage;
    if (file.size() != sums.bytes)
      damage.push_back(fmt::format("has {} bytes, but {} were written", file.size(), sums.bytes));
    std::vector<char> block(BlockChecksums::kBlock);
    const std::uint64_t blocks =
        (std::min(sums.bytes, file.size()) + BlockChecksums::kBlock - 1) / BlockChecksums::kBlock;
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(blocks, sums.blocks.size()); ++i) {
      const std::uint64_t from = i * BlockChecksums::kBlock;
      const std::uint64_t wanted = std::min(BlockChecksums::kBlock, sums.bytes - from);
      if (file.read_at(from, block.data(), wanted) < wanted) break;
      ContentHash hash;
      hash.add(block.data(), wanted);
      if (hash.hex() != sums.blocks[i])
        damage.push_back(fmt::format("bytes {} to {} are not those that were written", from, from + wanted - 1));
    }
    return damage;
  } catch (const std::system_error& error) {
    return {fmt::format("cannot be read: {}", error.code().message())};
  }
}

}  // namespace millrace
