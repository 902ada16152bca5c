#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/formats/staged_folder.h"
#include "stages/records.h"

namespace millrace {

/// How an id is stored: little-endian.
enum class IdType : std::uint8_t { u16, i32, u32 };
const char* name_of(IdType type);
std::size_t size_of(IdType type);
/// Throws ConfigError if there is no such type.
IdType id_type_named(const std::string& name);
/// u16 if it holds all ids of the vocabulary, else u32.
IdType unsigned_id_type(std::uint64_t vocabulary_size);

/// Appends ids to a staged file. REQUIRES: they fit the type.
void append_ids(StagedFolder& folder, const std::string& name, std::span<const TokenId> ids, IdType type);

/// Appends a number as its bytes, little-endian.
template <class Number>
void append_number(std::string& bytes, Number number) {
  static_assert(std::is_arithmetic_v<Number>);
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}

/// What every id of a token file must be.
struct IdRules {
  IdType type = IdType::i32;
  std::uint64_t vocabulary_size = 0;  ///< All ids are below.
  TokenId eos = 0;                    ///< Every document ends in it, and has it elsewhere only if its text contains it.
};

/// Checks a file of ids against the rules. `next_end` gives the end of each document in turn, in ids; the last one must
/// be the end of the file. Returns a few complaints at most, naming the byte. Reads every byte.
std::vector<std::string> damage_of_ids(const std::filesystem::path& file, const IdRules& rules,
                                       const std::function<std::optional<std::uint64_t>()>& next_end);

}  // namespace millrace
