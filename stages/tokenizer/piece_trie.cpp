#include "stages/tokenizer/piece_trie.h"

#include <algorithm>
#include <array>
#include <bit>
#include <stdexcept>
#include <utility>

namespace millrace {
namespace {

constexpr std::uint32_t kBlock = 256;
constexpr std::uint32_t kMaxUnits = 1U << 24;
// Older blocks are almost full: not searching them keeps building linear.
constexpr std::size_t kOpenBlocks = 16;

/// One bit for each unit of a block.
using BlockMask = std::array<std::uint64_t, kBlock / 64>;

/// Bit i of the result is bit i ^ by of the mask.
BlockMask exchanged(const BlockMask& mask, unsigned by) {
  constexpr std::array<std::uint64_t, 6> kUpper{0xAAAAAAAAAAAAAAAA, 0xCCCCCCCCCCCCCCCC, 0xF0F0F0F0F0F0F0F0,
                                                0xFF00FF00FF00FF00, 0xFFFF0000FFFF0000, 0xFFFFFFFF00000000};
  BlockMask result{};
  for (std::size_t word = 0; word < result.size(); ++word) result[word] = mask[word ^ (by >> 6)];
  for (unsigned bit = 0; bit < kUpper.size(); ++bit) {
    if ((by >> bit & 1U) == 0) continue;
    const unsigned shift = 1U << bit;
    for (std::uint64_t& word : result) word = (word & kUpper[bit]) >> shift | (word << shift & kUpper[bit]);
  }
  return result;
}

/// Where the children of every node go. Bases are unique, so the label alone shows whether a unit is a child.
class Placement {
 public:
  Placement() {
    add_block();  // Base 0 is that of nodes without children: nothing is ever placed in its block.
    set(blocks_[0].bases, 0);
    blocks_[0].free = {};
  }

  std::uint32_t place(const std::vector<unsigned char>& labels) {
    for (std::size_t block = blocks_.size() - std::min(blocks_.size(), kOpenBlocks); block < blocks_.size(); ++block) {
      BlockMask fits{};
      for (std::size_t word = 0; word < fits.size(); ++word) fits[word] = ~blocks_[block].bases[word];
      for (const unsigned char label : labels) {
        const BlockMask free = exchanged(blocks_[block].free, label);
        for (std::size_t word = 0; word < fits.size(); ++word) fits[word] &= free[word];
      }
      for (std::size_t word = 0; word < fits.size(); ++word) {
        if (fits[word] == 0) continue;
        const std::size_t low = 64 * word + static_cast<std::size_t>(std::countr_zero(fits[word]));
        return place_at(static_cast<std::uint32_t>(kBlock * block + low), labels);
      }
    }
    add_block();
    return place_at(static_cast<std::uint32_t>(units() - kBlock), labels);
  }

  std::uint32_t place_at(std::uint32_t base, const std::vector<unsigned char>& labels) {
    while (units() <= base) add_block();
    Block& block = blocks_[base / kBlock];
    set(block.bases, base % kBlock);
    for (const unsigned char label : labels) clear(block.free, (base ^ label) % kBlock);
    return base;
  }

  std::size_t units() const { return blocks_.size() * kBlock; }
  bool is_base(std::uint32_t base) const { return test(blocks_[base / kBlock].bases, base % kBlock); }
  bool is_empty(std::uint32_t unit) const { return unit < kBlock || test(blocks_[unit / kBlock].free, unit % kBlock); }

 private:
  struct Block {
    BlockMask free;
    BlockMask bases;
  };
  static void set(BlockMask& mask, std::uint32_t bit) { mask[bit / 64] |= 1ULL << (bit % 64); }
  static void clear(BlockMask& mask, std::uint32_t bit) { mask[bit / 64] &= ~(1ULL << (bit % 64)); }
  static bool test(const BlockMask& mask, std::uint32_t bit) { return (mask[bit / 64] >> (bit % 64) & 1U) != 0; }

  void add_block() {
    if (units() >= kMaxUnits) throw std::length_error("the pieces need more than 2^24 units");
    Block block{};
    block.free.fill(~0ULL);
    blocks_.push_back(block);
  }

  std::vector<Block> blocks_;
};

/// A run of sorted entries that share their first `depth` bytes, and the unit that these lead to.
struct Range {
  std::size_t first;
  std::size_t last;
  std::size_t depth;
  std::uint32_t unit;
};

}  // namespace

PieceTrie::PieceTrie(std::vector<Entry> entries) {
  std::ranges::sort(entries, {}, &Entry::text);
  Placement placement;
  std::vector<Range> open;
  std::vector<Range> children;
  std::vector<unsigned char> labels;

  const auto add_children = [&](Range range, bool is_root) {
    labels.clear();
    children.clear();
    for (std::size_t i = range.first; i < range.last; ++i) {
      const auto label = static_cast<unsigned char>(entries[i].text[range.depth]);
      if (labels.empty() || labels.back() != label) {
        labels.push_back(label);
        children.push_back({i, i, range.depth + 1, 0});
      }
      children.back().last = i + 1;
    }
    if (labels.empty() && !is_root) return;
    const std::uint32_t base = is_root ? placement.place_at(kRoot, labels) : placement.place(labels);
    units_.resize(placement.units());
    ids_.resize(placement.units(), -1);
    if (!is_root) units_[range.unit].link |= base << 8;
    for (std::size_t i = 0; i < children.size(); ++i) {
      children[i].unit = base ^ labels[i];
      units_[children[i].unit].link = labels[i];
    }
    // The last one is taken up first: the children are pushed in reverse, for texts in order to lie together.
    open.insert(open.end(), children.rbegin(), children.rend());
  };

  add_children({0, entries.size(), 0, 0}, true);
  while (!open.empty()) {
    Range range = open.back();
    open.pop_back();
    const Entry& first = entries[range.first];
    if (first.text.size() == range.depth) {
      units_[range.unit].score = first.score;
      ids_[range.unit] = first.id;
      ++range.first;
    }
    add_children(range, false);
  }

  for (std::uint32_t unit = 0; unit < units_.size(); ++unit) {
    if (!placement.is_empty(unit)) continue;
    // An empty unit must never look like a child: its label matches no node's base.
    std::uint32_t label = 0;
    while (label < kBlock && placement.is_base(unit ^ label)) ++label;
    if (label == kBlock) throw std::logic_error("a block of 256 bases with an empty unit");
    units_[unit].link = label;
  }
}

}  // namespace millrace
