#include "pipeline/formats/token_file.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "stages/errors.h"
#include "stages/io/input_file.h"

namespace millrace {
namespace {

constexpr std::size_t kIdsAPiece = 1 << 20;  // Ids.
constexpr std::size_t kAppendedIds = 4096;   ///< At a time.
constexpr std::size_t kMostComplaints = 10;
constexpr std::array<const char*, 3> kNames{"u16", "i32", "u32"};

std::int64_t id_at(const char* bytes, IdType type) {
  if (type == IdType::u16) {
    std::uint16_t id = 0;
    std::memcpy(&id, bytes, sizeof id);
    return id;
  }
  if (type == IdType::u32) {
    std::uint32_t id = 0;
    std::memcpy(&id, bytes, sizeof id);
    return id;
  }
  std::int32_t id = 0;
  std::memcpy(&id, bytes, sizeof id);
  return id;
}

}  // namespace

const char* name_of(IdType type) {
  return kNames[static_cast<std::size_t>(type)];
}

IdType unsigned_id_type(std::uint64_t vocabulary_size) {
  return vocabulary_size <= 65'536 ? IdType::u16 : IdType::u32;
}

std::size_t size_of(IdType type) {
  return type == IdType::u16 ? 2 : 4;
}

IdType id_type_named(const std::string& name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (name == kNames[i]) return static_cast<IdType>(i);
  throw ConfigError(fmt::format("there is no id type \"{}\"", name));
}

void append_ids(StagedFolder& folder, const std::string& name, std::span<const TokenId> ids, IdType type) {
  std::array<std::uint16_t, kAppendedIds> narrow{};
  while (!ids.empty()) {
    const auto part = ids.first(std::min(ids.size(), kAppendedIds));
    if (type == IdType::u16) {
      std::ranges::transform(part, narrow.begin(), [](TokenId id) { return static_cast<std::uint16_t>(id); });
      folder.append(name, narrow.data(), part.size() * sizeof(std::uint16_t));
    } else {
      folder.append(name, part.data(), part.size_bytes());
    }
    ids = ids.subspan(part.size());
  }
}

std::vector<std::string> damage_of_ids(const std::filesystem::path& path, const IdRules& rules,
                                       const std::function<std::optional<std::uint64_t>()>& next_end) {
  std::vector<std::string> damage;
  const auto complain = [&](std::string what) {
    if (damage.size() < kMostComplaints) damage.push_back(std::move(what));
  };
  InputFile file(path.string());
  const std::size_t width = size_of(rules.type);
  if (file.size() % width != 0) complain(fmt::format("has {} bytes, which is no multiple of {}", file.size(), width));
  const std::uint64_t ids = file.size() / width;
  std::vector<char> piece(kIdsAPiece * width);
  std::optional<std::uint64_t> end = next_end();
  for (std::uint64_t at = 0; at < ids; at += kIdsAPiece) {
    const std::size_t count = file.read_at(at * width, piece.data(), piece.size()) / width;
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t id = id_at(&piece[i * width], rules.type);
      const std::uint64_t byte = (at + i) * width;
      if (id < 0 || static_cast<std::uint64_t>(id) >= rules.vocabulary_size)
        complain(fmt::format("byte {}: id {} is outside the vocabulary of {}", byte, id, rules.vocabulary_size));
      if (end != at + i + 1) continue;
      if (id != rules.eos)
        complain(fmt::format("byte {}: a document ends in id {}, not in eos ({})", byte, id, rules.eos));
      const std::uint64_t before = *end;
      end = next_end();
      if (end && *end <= before) {
        complain(fmt::format("the document behind id {} ends at {}, before it begins", before, *end));
        return damage;
      }
    }
  }
  if (end) complain(fmt::format("has {} ids, but a document ends at {}", ids, *end));
  return damage;
}

}  // namespace millrace
