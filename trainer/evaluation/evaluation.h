#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "model/transformer/transformer.h"
#include "trainer/backend/scored_batches.h"
#include "trainer/evaluation/held_out_tokens.h"
#include "trainer/evaluation/unigram_counts.h"

namespace millrace {

/// The objective that every run is evaluated with, whatever it is trained on.
inline constexpr const char* kCausalObjective = "causal";

/// Held-out text as rows of a run's own objective.
struct ObjectiveRows {
  struct OfCorpus {
    std::string corpus;
    std::vector<Row> rows;  ///< Empty: no held-out text, or too little for one example.
  };
  std::string objective;  ///< Not kCausalObjective.
  std::vector<OfCorpus> corpora;
};

/// How well a model predicts held-out tokens.
struct EvaluationScore {
  std::uint64_t tokens = 0;      ///< Labels whose loss counts.
  std::uint64_t text_bytes = 0;  ///< 0 unless the labels are exactly the whole text, each token once.
  double nats = 0;               ///< Sum of the cross-entropy.
  std::uint64_t correct = 0;
  std::optional<double> unigram_nats;  ///< The same sum for the unigram distribution, if one was given.

  double loss() const { return nats / static_cast<double>(tokens); }
  double perplexity() const;
  std::optional<double> bits_per_byte() const;
  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(tokens); }
  std::optional<double> unigram_loss() const;
  /// False if the sum is NaN or infinite: JSON then has null for every value computed from it.
  bool is_finite() const;
  void add(const EvaluationScore& other);
};

struct CorpusScore {
  std::string corpus;
  EvaluationScore score;  ///< tokens == 0: the corpus has no held-out tokens.
};

struct Evaluation {
  std::string objective = kCausalObjective;
  std::vector<CorpusScore> corpora;
  EvaluationScore overall;

  void add(const std::string& corpus, const EvaluationScore& score);
  /// {CORPUS: {"objective", "loss", "perplexity", "accuracy", "bits_per_byte", "tokens", "unigram_loss"} | null}
  nlohmann::ordered_json corpora_json() const;
  /// The same object for all tokens together, or null.
  nlohmann::ordered_json overall_json() const;
  /// The line of metrics.jsonl for an evaluation after `step` steps.
  nlohmann::ordered_json line(std::uint64_t step) const;
};

/// Passes a model over batches: TrainingBackend::score, or score_batches().
using Scorer = std::function<void(const ScoredBatches&)>;

/// Loss and accuracy on CausalLM rows of `length` (see causal_rows), with the eval capacity, `batch_rows`
/// rows at a time: because of the experts' capacity the result depends on `batch_rows`. `unigram` may be null. Throws
/// Stopped (model/stop.h).
Evaluation evaluate(const Scorer& score, const std::vector<HeldOutTokens>& held_out, int length, int batch_rows,
                    TokenId pad, const UnigramCounts* unigram);

/// The same on rows of another objective, where loss_weights are not 0.
Evaluation evaluate(const Scorer& score, const ObjectiveRows& rows, int batch_rows, const UnigramCounts* unigram);

}  // namespace millrace
