#include "pipeline/plan/played_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "pipeline/rows/start_position.h"

namespace millrace {
namespace {

constexpr double kLongDocument = 1 << 16;  ///< Raw tokens.

/// Keeps a corpus's buffer so full that the mixer never waits for it.
class Supply {
 public:
  Supply(std::size_t corpus, double document_size, std::uint64_t least)
      : corpus_(corpus), size_(document_size > 0 ? std::max(1.0, document_size) : kLongDocument), least_(least) {}

  void top_up(Mixer& mixer) {
    while (held_ < least_) {
      EncodedRecord document;
      // Sizes are whole, and their mean is the mean.
      const auto end = static_cast<std::uint64_t>(std::llround(size_ * static_cast<double>(++documents_)));
      document.tokens.assign(end - given_, 0);
      held_ += end - std::exchange(given_, end);
      mixer.arrive(corpus_, std::move(document));
    }
  }
  void taken(std::uint64_t raw_tokens) { held_ -= raw_tokens; }

 private:
  std::size_t corpus_;
  double size_;
  std::uint64_t least_;
  std::uint64_t documents_ = 0;
  std::uint64_t given_ = 0;
  std::uint64_t held_ = 0;
};

}  // namespace

std::uint64_t PlayedRows::all_raw_tokens() const {
  return std::accumulate(raw_tokens.begin(), raw_tokens.end(), std::uint64_t{0});
}

PlayedRows play_rows(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const PreparedPhase& plan,
                     std::size_t phase, const std::vector<PlayedCorpus>& played, std::uint64_t first_example,
                     std::uint64_t rows) {
  StreamConfig alone = config;
  alone.phases = {config.phases[phase]};
  alone.phases[0].until = std::numeric_limits<std::uint64_t>::max();
  alone.shuffle_tokens = 0;  // Documents of one size: any order is the same.
  const std::vector<PreparedPhase> plans{plan};
  StreamPosition start = start_of(alone, corpora);
  start.example = first_example;
  for (std::size_t i = 0; i < corpora.size(); ++i) start.corpora[i].open = played[i].open;
  Mixer mixer(alone, corpora, plans, std::move(start));

  std::vector<std::optional<Supply>> supplies(corpora.size());
  for (const std::size_t i : plan.corpora) {
    if (!played[i].open) continue;
    supplies[i].emplace(i, played[i].document_size, plan.longest);
    supplies[i]->top_up(mixer);
  }
  PlayedRows result;
  result.raw_tokens.resize(corpora.size());
  while (result.rows < rows) {
    const std::optional<MixedSegment> mixed = mixer.next();
    if (!mixed || mixed->kind != MixedSegment::Kind::example) break;
    if (mixed->row >= rows) {
      result.rows = rows;
      break;
    }
    ++result.examples;
    result.raw_tokens[mixed->origin.corpus] += mixed->origin.raw_tokens;
    result.rows = mixed->row + (mixed->ends_row ? 1 : 0);
    Supply& supply = supplies[mixed->origin.corpus].value();
    supply.taken(mixed->origin.raw_tokens);
    supply.top_up(mixer);
  }
  return result;
}

}  // namespace millrace
