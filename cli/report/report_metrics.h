#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/report/report_curves.h"
#include "pipeline/config/stream_config.h"

namespace millrace {

/// The curves of a metrics.jsonl, thinned while it is read: memory does not grow with the number of steps. Keys that
/// are missing (runs of older programs) give no curve; a torn last line and lines that are not JSON are skipped.
struct RunMetrics {
  std::uint64_t step = 0;    ///< The last one; 0 with `tokens` 0: none yet.
  std::uint64_t tokens = 0;  ///< Positions so far, like the next two.
  std::uint64_t raw_tokens = 0, loss_tokens = 0;
  std::optional<double> last_loss;
  double seconds = 0;       ///< Of all steps together.
  double step_seconds = 0;  ///< Mean of the last steps.
  std::uint64_t skipped = 0;
  std::vector<std::pair<std::uint64_t, std::string>> first_skipped;  ///< Step and reason, of the first ten.
  std::uint64_t unreadable_lines = 0;

  /// Every number of the training lines by its name, and:
  ///   data_wait_share, ce_by_corpus/NAME, ce_by_denoiser/NAME, router/KEY/LAYER
  ThinnedCurves steps{2048};
  /// OBJECTIVE/loss|bits_per_byte|accuracy|perplexity/CORPUS, where CORPUS "" is all of them together.
  ThinnedCurves evaluations{1024};
  /// Since the phase began: corpus/NAME of the raw tokens, denoiser/NAME of the examples; fractions.
  ThinnedCurves shares{1024};
  ThinnedCurves experts{240};  ///< LAYER/EXPERT; LAYER counts MoE layers.
  ThinnedCurves dropped{240};  ///< PART of the sequence.

  nlohmann::ordered_json json() const;
};

/// A missing file counts as empty. `phases` say from where shares are counted. Throws std::system_error.
RunMetrics read_metrics(const std::filesystem::path& file, const std::vector<Phase>& phases);

}  // namespace millrace
