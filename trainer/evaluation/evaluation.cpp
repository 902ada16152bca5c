#include "trainer/evaluation/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "pipeline/json_text.h"
#include "trainer/rows_to_batch.h"

namespace millrace {
namespace {

Json score_json(const EvaluationScore& score, const std::string& objective) {
  if (score.tokens == 0) return nullptr;
  Json json{{"objective", objective},
            {"loss", finite_or_null(score.loss())},
            {"perplexity", finite_or_null(score.perplexity())},
            {"accuracy", score.accuracy()},
            {"bits_per_byte", nullptr},
            {"tokens", score.tokens}};
  if (score.text_bytes > 0) json["bits_per_byte"] = finite_or_null(*score.bits_per_byte());
  if (score.unigram_nats) json["unigram_loss"] = finite_or_null(*score.unigram_loss());
  return json;
}

void add_batch(EvaluationScore& sum, const TokenBatch& batch, const TokenScores& scores, const UnigramCounts* unigram) {
  for (std::size_t i = 0; i < scores.cross_entropy.size(); ++i) {
    if (batch.loss_weights[i] == 0) continue;
    ++sum.tokens;
    sum.nats += static_cast<double>(scores.cross_entropy[i]);
    sum.correct += scores.correct[i];
    if (unigram != nullptr) sum.unigram_nats = sum.unigram_nats.value_or(0) + unigram->loss(batch.labels[i]);
  }
}

std::size_t batches_of(int rows, int batch_rows) {
  return static_cast<std::size_t>((rows + batch_rows - 1) / batch_rows);
}

}  // namespace

double EvaluationScore::perplexity() const {
  return std::exp(loss());
}

std::optional<double> EvaluationScore::bits_per_byte() const {
  if (text_bytes == 0) return std::nullopt;
  return nats / std::numbers::ln2_v<double> / static_cast<double>(text_bytes);
}

std::optional<double> EvaluationScore::unigram_loss() const {
  if (!unigram_nats) return std::nullopt;
  return *unigram_nats / static_cast<double>(tokens);
}

bool EvaluationScore::is_finite() const {
  return std::isfinite(nats);
}

void EvaluationScore::add(const EvaluationScore& other) {
  tokens += other.tokens;
  text_bytes += other.text_bytes;
  nats += other.nats;
  correct += other.correct;
  if (other.unigram_nats) unigram_nats = unigram_nats.value_or(0) + *other.unigram_nats;
}

void Evaluation::add(const std::string& corpus, const EvaluationScore& score) {
  corpora.push_back({corpus, score});
  overall.add(score);
}

Json Evaluation::corpora_json() const {
  Json json = Json::object();
  for (const CorpusScore& corpus : corpora) json[corpus.corpus] = score_json(corpus.score, objective);
  return json;
}

Json Evaluation::overall_json() const {
  return score_json(overall, objective);
}

Json Evaluation::line(std::uint64_t step) const {
  return {{"step", step}, {"eval", corpora_json()}, {"overall", overall_json()}};
}

Evaluation evaluate(const Scorer& score, const std::vector<HeldOutTokens>& held_out, int length, int batch_rows,
                    TokenId pad, const UnigramCounts* unigram) {
  Evaluation evaluation;
  for (const HeldOutTokens& corpus : held_out) {
    EvaluationScore sum;
    sum.text_bytes = corpus.text_bytes;
    const RowArrays rows = causal_rows(corpus.ids, length, pad);
    score({.count = batches_of(rows.rows, batch_rows),
           .rows =
               [&](std::size_t i) {
                 const int row = static_cast<int>(i) * batch_rows;
                 return batch_of(rows, row, std::min(batch_rows, rows.rows - row));
               },
           .done = [&](std::size_t, const TokenBatch& batch,
                       const TokenScores& scores) { add_batch(sum, batch, scores, unigram); }});
    evaluation.add(corpus.corpus, sum);
  }
  return evaluation;
}

Evaluation evaluate(const Scorer& score, const ObjectiveRows& rows, int batch_rows, const UnigramCounts* unigram) {
  Evaluation evaluation;
  evaluation.objective = rows.objective;
  for (const ObjectiveRows::OfCorpus& corpus : rows.corpora) {
    EvaluationScore sum;
    const auto most = static_cast<std::size_t>(batch_rows);
    RowArrays asked;
    score({.count = batches_of(static_cast<int>(corpus.rows.size()), batch_rows),
           .rows =
               [&](std::size_t i) {
                 const auto rest = std::span(corpus.rows).subspan(i * most);
                 asked = rows_of(rest.first(std::min(most, rest.size())));
                 return batch_of(asked, 0, asked.rows);
               },
           .done = [&](std::size_t, const TokenBatch& batch,
                       const TokenScores& scores) { add_batch(sum, batch, scores, unigram); }});
    evaluation.add(corpus.corpus, sum);
  }
  return evaluation;
}

}  // namespace millrace
