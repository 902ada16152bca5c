#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

/// Statistics of one denoiser's examples.
struct DenoiserStatistics {
  std::uint64_t examples = 0;
  std::uint64_t raw_tokens = 0;                        ///< Without separators.
  std::uint64_t segment_tokens = 0;                    ///< Raw tokens with separators.
  std::uint64_t noise_tokens = 0;                      ///< Of those, tokens that the targets hold.
  std::uint64_t trimmed_tokens = 0;                    ///< Of those, tokens that neither inputs nor targets hold.
  std::uint64_t positions = 0;                         ///< Of inputs and targets.
  std::uint64_t loss_positions = 0;                    ///< Of targets.
  std::map<std::uint64_t, std::uint64_t> span_counts;  ///< Kind span: how many noise spans have each length.

  std::uint64_t spans() const;
  double mask_ratio() const;  ///< noise_tokens / segment_tokens
  double mean_span() const;   ///< Of whole spans; 0 without one.
};

/// Statistics of the rows of one phase.
struct PhaseStatistics {
  std::uint64_t rows = 0;
  std::uint64_t positions = 0;
  std::uint64_t real_positions = 0;  ///< Not padding.
  std::uint64_t loss_positions = 0;  ///< Whose loss counts.
  std::uint64_t raw_tokens = 0;
  std::uint64_t trimmed_tokens = 0;
  std::uint64_t examples = 0;
  std::vector<DenoiserStatistics> denoisers;                     ///< As in the phase's objective.
  std::map<std::uint32_t, std::vector<std::uint64_t>> consumed;  ///< By corpus: examples of each denoiser.
  std::map<std::uint32_t, std::uint64_t> corpus_raw_tokens;
};

/// Counts what rows are made of, by looking at the rows themselves. One object, one thread.
class StreamStatistics {
 public:
  /// Ids from `first_sentinel` on are sentinels: Vocabulary::pieces(). `config` must outlive the statistics.
  StreamStatistics(const StreamConfig& config, TokenId first_sentinel)
      : config_(config), first_sentinel_(first_sentinel) {}

  void add(const StreamRow& row);
  /// By number; those of which a row was added.
  const std::map<std::uint32_t, PhaseStatistics>& phases() const { return phases_; }

 private:
  void add_targets(const StreamRow& row, const ExampleOrigin& origin, DenoiserStatistics& statistics) const;

  const StreamConfig& config_;
  TokenId first_sentinel_;
  std::map<std::uint32_t, PhaseStatistics> phases_;
};

}  // namespace millrace
