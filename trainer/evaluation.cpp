#include "trainer/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <nlohmann/json.hpp>

#include "trainer/row_arrays.h"

namespace millrace {
namespace {

nlohmann::ordered_json to_json(const EvaluationScore& score) {
  if (score.tokens == 0) return nullptr;
  nlohmann::ordered_json json{{"objective", "causal"},
                              {"loss", score.loss()},
                              {"perplexity", score.perplexity()},
                              {"accuracy", score.accuracy()},
                              {"bits_per_byte", score.bits_per_byte()},
                              {"tokens", score.tokens}};
  if (score.unigram_nats) json["unigram_loss"] = *score.unigram_loss();
  return json;
}

EvaluationScore score_of(Transformer<float>& model, const HeldOutTokens& corpus, int length, int batch_rows,
                         TokenId pad, const UnigramCounts* unigram) {
  EvaluationScore score;
  score.tokens = corpus.ids.size();
  score.text_bytes = corpus.text_bytes;
  const RowArrays rows = causal_rows(corpus.ids, length, pad);
  for (int row = 0; row < rows.rows; row += batch_rows) {
    const TokenScores scores = model.score(rows.batch(row, std::min(batch_rows, rows.rows - row)));
    const std::size_t first = static_cast<std::size_t>(row) * static_cast<std::size_t>(length);
    for (std::size_t i = 0; i < scores.cross_entropy.size(); ++i) {
      if (rows.loss_weights[first + i] == 0) continue;
      score.nats += static_cast<double>(scores.cross_entropy[i]);
      score.correct += scores.correct[i];
    }
  }
  if (unigram != nullptr) {
    score.unigram_nats = 0;
    for (const TokenId id : corpus.ids) *score.unigram_nats += unigram->loss(id);
  }
  return score;
}

}  // namespace

double EvaluationScore::perplexity() const {
  return std::exp(loss());
}

double EvaluationScore::bits_per_byte() const {
  return nats / std::numbers::ln2_v<double> / static_cast<double>(text_bytes);
}

std::optional<double> EvaluationScore::unigram_loss() const {
  if (!unigram_nats) return std::nullopt;
  return *unigram_nats / static_cast<double>(tokens);
}

void EvaluationScore::add(const EvaluationScore& other) {
  tokens += other.tokens;
  text_bytes += other.text_bytes;
  nats += other.nats;
  correct += other.correct;
  if (other.unigram_nats) unigram_nats = unigram_nats.value_or(0) + *other.unigram_nats;
}

std::string Evaluation::corpora_json() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const CorpusScore& corpus : corpora) json[corpus.corpus] = to_json(corpus.score);
  return json.dump();
}

std::string Evaluation::overall_json() const {
  return to_json(overall).dump();
}

Evaluation evaluate(Transformer<float>& model, const std::vector<HeldOutTokens>& held_out, int length, int batch_rows,
                    TokenId pad, const UnigramCounts* unigram) {
  Evaluation evaluation;
  for (const HeldOutTokens& corpus : held_out) {
    evaluation.corpora.push_back({corpus.corpus, score_of(model, corpus, length, batch_rows, pad, unigram)});
    evaluation.overall.add(evaluation.corpora.back().score);
  }
  return evaluation;
}

}  // namespace millrace
