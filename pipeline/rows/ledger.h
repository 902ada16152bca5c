#pragma once

#include <cstdint>
#include <map>

#include <nlohmann/json_fwd.hpp>

namespace millrace {

class JsonValue;
struct StreamRow;
struct StreamConfig;

/// What was consumed: per phase x corpus x denoiser. Built from the rows trained on, kept in every checkpoint.
class Ledger {
 public:
  struct Key {
    std::uint32_t phase = 0;
    std::uint32_t corpus = 0;
    std::uint32_t denoiser = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Entry {
    std::uint64_t documents = 0;  ///< Documents begun.
    std::uint64_t examples = 0;
    std::uint64_t raw_tokens = 0;
    std::uint64_t loss_tokens = 0;
    std::uint64_t trimmed_tokens = 0;  ///< ExampleOrigin::trimmed_tokens.
    bool operator==(const Entry&) const = default;
  };

  void add(const StreamRow& row);
  std::uint64_t rows() const { return rows_; }
  std::uint64_t positions() const { return positions_; }  ///< Sum of the rows' lengths.
  std::uint64_t raw_tokens() const;
  std::uint64_t loss_tokens() const;
  std::uint64_t trimmed_tokens() const;
  const std::map<Key, Entry>& entries() const { return entries_; }

  bool operator==(const Ledger&) const = default;
  friend void to_json(nlohmann::ordered_json& json, const Ledger& ledger);
  friend void from_json(const JsonValue& json, Ledger& ledger);

 private:
  std::map<Key, Entry> entries_;
  std::uint64_t rows_ = 0;
  std::uint64_t positions_ = 0;
};

void to_json(nlohmann::ordered_json& json, const Ledger& ledger);
void from_json(const JsonValue& json, Ledger& ledger);

}  // namespace millrace
