#include "stages/tokenizer/unigram_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "stages/tokenizer/word_cuts.h"

namespace millrace {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kUnknownPenalty = 10.0F;
constexpr double kUserDefinedPenalty = 0.1;
constexpr std::uint32_t kUnknownUnit = 0;
constexpr float kTwoTo23 = 8388608.0F;

std::vector<PieceTrie::Entry> entries_of(const VocabularyFile& file, const TextNormalizer& normalizer) {
  std::vector<PieceTrie::Entry> entries;
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    const auto& [text, score, type] = file.pieces[id];
    if (type != PieceType::normal && type != PieceType::user_defined) continue;
    std::string form = normalizer.piece_form(text);
    if (form.empty()) continue;
    entries.push_back({std::move(form), type == PieceType::user_defined ? PieceTrie::kUserDefined : score,
                       static_cast<std::int32_t>(id)});
  }
  return entries;
}

}  // namespace

UnigramPieces::UnigramPieces(const VocabularyFile& file, const TextNormalizer& normalizer)
    : trie(entries_of(file, normalizer)) {
  for (const VocabularyPiece& piece : file.pieces)
    longest = std::max(longest, normalizer.piece_form(piece.text).size());
  float lowest = std::numeric_limits<float>::max();
  float highest = std::numeric_limits<float>::min();  // Not below 0: libsentencepiece begins there.
  for (const VocabularyPiece& piece : file.pieces) {
    scores.push_back(piece.score);
    if (piece.type != PieceType::normal) continue;
    lowest = std::min(lowest, piece.score);
    highest = std::max(highest, piece.score);
  }
  unknown_score = lowest - kUnknownPenalty;
  all_scores_negative = highest == std::numeric_limits<float>::min();
  for (std::size_t id = 0; id < file.pieces.size(); ++id) {
    const VocabularyPiece& piece = file.pieces[id];
    if (piece.type != PieceType::user_defined) continue;
    const float bonus = static_cast<float>(piece.text.size()) * highest;
    user_defined_scores[static_cast<std::int32_t>(id)] = static_cast<double>(bonus) - kUserDefinedPenalty;
  }
}

float UnigramSearch::search(std::string_view word) {
  const std::size_t size = word.size();
  nodes_.assign(size + 1, Node{-kInfinity, kInfinity, 0, kUnknownUnit});
  nodes_[0].score = 0;
  has_user_defined_ = false;
  const auto relax = [this](std::size_t to, float score, std::size_t from, std::uint32_t unit) {
    Node& node = nodes_[to];
    const float ahead = score - node.score;
    if (ahead > 0) {
      node = {score, ahead, static_cast<std::uint32_t>(from), unit};
    } else {
      node.margin = std::min(node.margin, -ahead);
    }
  };
  std::size_t characters = 0;
  float reach = 0;
  for (std::size_t from = 0; from < size; ++characters) {
    const float so_far = nodes_[from].score;
    const std::size_t length = std::min(character_length(static_cast<unsigned char>(word[from])), size - from);
    bool has_single = false;
    std::uint32_t base = PieceTrie::kRoot;
    for (std::size_t at = from; at < size;) {
      const auto byte = static_cast<unsigned char>(word[at]);
      const std::uint32_t index = pieces_.trie.child(base, byte);
      const PieceTrie::Unit& unit = pieces_.trie[index];
      if (PieceTrie::label_of(unit) != byte) break;
      ++at;
      base = PieceTrie::base_of(unit);
      if (std::isnan(unit.score)) continue;
      if (unit.score == PieceTrie::kUserDefined) {
        has_user_defined_ = true;
        return -1;
      }
      has_single = has_single || at - from == length;
      relax(at, so_far + unit.score, from, index);
    }
    if (!has_single) relax(from + length, so_far + pieces_.unknown_score, from, kUnknownUnit);
    from += length;
    reach = std::max(reach, std::abs(so_far));
  }
  reach = std::max(reach, std::abs(nodes_[size].score));
  const float margin = backtrack(word);
  // Twice `reach`: once for the sums inside the word, once for the rounding of this search's own.
  constexpr float kCaution = 0.99F;
  return kCaution * margin * (kTwoTo23 / static_cast<float>(characters)) - 2 * reach;
}

void UnigramSearch::search_exactly(std::string_view word, float& sum) {
  const std::size_t size = word.size();
  nodes_.assign(size + 1, Node{-kInfinity, 0, 0, kUnknownUnit});
  nodes_[0].score = sum;
  has_user_defined_ = false;
  const float magnitude = std::abs(sum);
  const double half_ulp = magnitude > 0 ? std::ldexp(1.0, std::ilogb(magnitude) - 24) : 0;
  bool halfway = false;
  bool met_unknown = false;
  float reach = magnitude;
  for (std::size_t from = 0; from < size;) {
    const float so_far = nodes_[from].score;
    const std::size_t length = std::min(character_length(static_cast<unsigned char>(word[from])), size - from);
    bool has_single = false;
    std::uint32_t base = PieceTrie::kRoot;
    for (std::size_t at = from; at < size;) {
      const auto byte = static_cast<unsigned char>(word[at]);
      const std::uint32_t index = pieces_.trie.child(base, byte);
      const PieceTrie::Unit& unit = pieces_.trie[index];
      if (PieceTrie::label_of(unit) != byte) break;
      ++at;
      base = PieceTrie::base_of(unit);
      if (std::isnan(unit.score)) continue;
      double score = unit.score;
      if (unit.score == PieceTrie::kUserDefined) {
        has_user_defined_ = true;
        score = pieces_.user_defined_scores.at(pieces_.trie.id(index));
      }
      has_single = has_single || at - from == length;
      // The candidate is compared before it is rounded: libsentencepiece's expression has type double.
      const double candidate = score + static_cast<double>(so_far);
      Node& node = nodes_[at];
      if (!(candidate > static_cast<double>(node.score))) continue;
      node = {static_cast<float>(candidate), 0, static_cast<std::uint32_t>(from), index};
      halfway = halfway || std::abs(candidate - static_cast<double>(node.score)) == half_ulp;
    }
    Node& next = nodes_[from + length];
    if (!has_single) {
      met_unknown = true;
      const float candidate = pieces_.unknown_score + so_far;
      if (candidate > next.score) next = {candidate, 0, static_cast<std::uint32_t>(from), kUnknownUnit};
    }
    from += length;
    reach = std::max(reach, std::abs(nodes_[from].score));
  }
  backtrack(word);
  sum = nodes_[size].score;
  const float binade_end = magnitude > 0 ? std::ldexp(1.0F, std::ilogb(magnitude) + 1) : 0;
  validity_.translates = pieces_.all_scores_negative && !has_user_defined_ && !met_unknown && reach < binade_end;
  validity_.any_parity = !halfway;
  validity_.largest_sum = binade_end - (reach - magnitude);
}

float UnigramSearch::backtrack(std::string_view word) {
  found_.clear();
  has_unknown_ = false;
  float margin = kInfinity;
  for (auto at = static_cast<std::uint32_t>(word.size()); at > 0;) {
    const Node& node = nodes_[at];
    margin = std::min(margin, node.margin);
    const bool unknown = node.unit == kUnknownUnit;
    has_unknown_ = has_unknown_ || unknown;
    found_.push_back({unknown ? SearchedPiece::kUnknown : pieces_.trie.id(node.unit), at - node.from});
    at = node.from;
  }
  std::ranges::reverse(found_);
  return margin;
}

}  // namespace millrace
