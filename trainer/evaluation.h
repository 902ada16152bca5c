#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/transformer.h"
#include "trainer/held_out_tokens.h"
#include "trainer/unigram.h"

namespace millrace {

/// What a model makes of held-out tokens.
struct EvaluationScore {
  std::uint64_t tokens = 0;
  std::uint64_t text_bytes = 0;
  double nats = 0;  ///< Sum of the cross-entropy.
  std::uint64_t correct = 0;
  std::optional<double> unigram_nats;  ///< The same sum for the unigram distribution, where one is at hand.

  double loss() const { return nats / static_cast<double>(tokens); }
  double perplexity() const;
  double bits_per_byte() const;
  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(tokens); }
  std::optional<double> unigram_loss() const;
  void add(const EvaluationScore& other);
};

struct CorpusScore {
  std::string corpus;
  EvaluationScore score;  ///< tokens == 0: the corpus has no held-out document.
};

struct Evaluation {
  std::vector<CorpusScore> corpora;
  EvaluationScore overall;

  /// {CORPUS: {"objective", "loss", "perplexity", "accuracy", "bits_per_byte", "tokens", "unigram_loss"} | null}
  std::string corpora_json() const;
  /// The same object for all tokens together, or null.
  std::string overall_json() const;
};

/// Loss and accuracy of `model` on CausalLM rows of `length` (see causal_rows), with the eval capacity, `batch_rows`
/// rows at a time: the experts' capacity makes the result depend on that. `unigram` may be null.
Evaluation evaluate(Transformer<float>& model, const std::vector<HeldOutTokens>& held_out, int length, int batch_rows,
                    TokenId pad, const UnigramCounts* unigram);

}  // namespace millrace
