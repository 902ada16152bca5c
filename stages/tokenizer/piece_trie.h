#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// Every piece that text can become, as a double array: one load of eight bytes a step. Immutable; any thread.
class PieceTrie {
 public:
  struct Entry {
    std::string text;  ///< Not empty.
    float score = 0;
    std::int32_t id = 0;
  };
  /// Special scores: no piece ends here; a user-defined piece ends here.
  static constexpr float kNoPiece = std::numeric_limits<float>::quiet_NaN();
  static constexpr float kUserDefined = std::numeric_limits<float>::infinity();

  /// A node of the trie. `score` is that of the piece that ends here.
  struct Unit {
    std::uint32_t link = 0;  ///< Base of the children, over 8 bits of the byte that leads here.
    float score = kNoPiece;
  };

  /// `entries` may come in any order, their texts differ. Throws std::length_error above some 16 million units.
  explicit PieceTrie(std::vector<Entry> entries);

  static constexpr std::uint32_t kRoot = 256;  ///< Base that a walk begins with.
  /// The unit `byte` leads to from a base: only if its label is `byte`; then base_of() goes on.
  std::uint32_t child(std::uint32_t base, unsigned char byte) const { return base ^ byte; }
  const Unit& operator[](std::uint32_t unit) const { return units_[unit]; }
  static unsigned char label_of(const Unit& unit) { return static_cast<unsigned char>(unit.link); }
  static std::uint32_t base_of(const Unit& unit) { return unit.link >> 8; }
  std::int32_t id(std::uint32_t unit) const { return ids_[unit]; }

  std::size_t units() const { return units_.size(); }

 private:
  std::vector<Unit> units_;
  std::vector<std::int32_t> ids_;
};

}  // namespace millrace
