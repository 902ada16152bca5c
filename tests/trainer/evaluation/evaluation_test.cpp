#include "trainer/evaluation/evaluation.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "model/cpu/cpu_device.h"
#include "stages/errors.h"
#include "stages/philox.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/floats.h"
#include "tests/trainer/tiny_model.h"
#include "trainer/rows_to_batch.h"

namespace millrace {
namespace {

TEST(CausalRows, OpenWithPadAndWeighEveryRealLabel) {
  const RowArrays rows = causal_rows({5, 6, 1, 7, 1}, 3, 0);
  EXPECT_EQ(rows.rows, 2);
  EXPECT_EQ(rows.tokens, (std::vector<std::int32_t>{0, 5, 6, 0, 7, 0}));
  EXPECT_EQ(rows.labels, (std::vector<std::int32_t>{5, 6, 1, 7, 1, 0}));
  EXPECT_EQ(rows.loss_weights, (std::vector<float>{1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(rows.segment_ids, (std::vector<std::int32_t>{1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(rows.positions, (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2}));
}

TEST(UnigramCounts, CountLabelsWhoseLossCountsAndSmoothByOne) {
  UnigramCounts counts(4);
  EXPECT_DOUBLE_EQ(counts.loss(3), std::log(4.0));
  Row row;
  row.labels = {2, 2, 1, 0};
  row.loss_weights = {0, 1, 1, 0};
  row.segment_ids = {1, 1, 1, 0};
  counts.add(row);
  EXPECT_DOUBLE_EQ(counts.loss(2), -std::log(2.0 / 6));
  EXPECT_DOUBLE_EQ(counts.loss(1), -std::log(2.0 / 6));
  EXPECT_DOUBLE_EQ(counts.loss(0), -std::log(1.0 / 6));
}

TEST(HeldOutTokens, ComeBackInTheirOrder) {
  const TemporaryFolder folder;
  std::vector<HeldOutTokens> corpora{{"z/prose", {}, 0, 40}, {"empty", {}, 0, 0}, {"a code", {}, 0, 7}};
  append_document(corpora[0], {5, 6}, DocumentPart::whole, 1);
  append_document(corpora[0], {7}, DocumentPart::whole, 1);
  append_document(corpora[2], {9}, DocumentPart::whole, 1);
  EXPECT_EQ(corpora[0].ids, (std::vector<TokenId>{5, 6, 1, 7, 1}));
  save_held_out(folder.path() / "heldout.safetensors", corpora, "00ff");
  EXPECT_EQ(load_held_out(folder.path() / "heldout.safetensors", "00ff"), corpora);
  EXPECT_THROW(load_held_out(folder.path() / "heldout.safetensors", "00fe"), ConfigError);
}

TEST(HeldOutTokens, EndWithEosOnlyWhereTheTextDoes) {
  HeldOutTokens corpus;
  append_document(corpus, {5, 6}, DocumentPart::whole, 1);
  append_document(corpus, {7, 8}, DocumentPart::beginning, 1);
  EXPECT_EQ(corpus.ids, (std::vector<TokenId>{5, 6, 1, 7, 8}));
  EXPECT_EQ(corpus.documents, 2U);
}

class EvaluationTest : public testing::Test {
 protected:
  ModelConfig config_ = tiny_model();
  CpuDevice device_{Precision::f32};
  ParameterMemory memory_{device_, config_, ParameterMemory::Gradients::none};
  Transformer model_{device_, config_, memory_.views()};
  const Scorer score_ = [this](const ScoredBatches& batches) { score_batches(model_, batches); };
};

TEST_F(EvaluationTest, OfAModelOfZerosIsUniform) {
  const std::vector<HeldOutTokens> held_out{{"prose", std::vector<TokenId>(50, 3), 1, 100}, {"none", {}, 0, 0}};
  const UnigramCounts unigram(config_.vocab_size);
  const Evaluation evaluation = evaluate(score_, held_out, 16, 2, 0, &unigram);
  EXPECT_EQ(evaluation.overall.tokens, 50u);
  EXPECT_NEAR(evaluation.overall.loss(), std::log(128.0), 1e-5);
  EXPECT_NEAR(evaluation.overall.perplexity(), 128, 1e-3);
  EXPECT_NEAR(*evaluation.overall.bits_per_byte(), 7 * 50 / 100.0, 1e-5);
  EXPECT_NEAR(*evaluation.overall.unigram_loss(), std::log(128.0), 1e-12);
}

TEST_F(EvaluationTest, IsNullForACorpusWithoutHeldOutTokens) {
  const std::vector<HeldOutTokens> held_out{{"prose", {3, 4}, 1, 9}, {"none", {}, 0, 0}};
  const Evaluation evaluation = evaluate(score_, held_out, 16, 2, 0, nullptr);
  const auto json = evaluation.corpora_json();
  EXPECT_TRUE(json.at("none").is_null());
  EXPECT_EQ(json.at("prose").at("objective"), "causal");
  EXPECT_EQ(json.at("prose").at("tokens"), 2);
}

/// The rows of causal_rows, one by one.
std::vector<Row> as_rows(const RowArrays& arrays) {
  std::vector<Row> rows;
  for (int i = 0; i < arrays.rows; ++i) {
    const auto from = static_cast<std::ptrdiff_t>(i) * arrays.length;
    const auto part = [&](const auto& values) {
      return std::decay_t<decltype(values)>(values.begin() + from, values.begin() + from + arrays.length);
    };
    rows.push_back({part(arrays.tokens), part(arrays.labels), part(arrays.loss_weights), part(arrays.segment_ids),
                    part(arrays.positions)});
  }
  return rows;
}

class OwnObjectiveTest : public EvaluationTest {
 protected:
  OwnObjectiveTest() {
    memory_.initialize([](std::uint64_t tensor, std::uint64_t element) {
      return ItemRng(3, Purpose::parameter_init, item_of({tensor, element})).uniform();
    });
    for (TokenId i = 0; i < 50; ++i) ids_.push_back(2 + (i * 7 + i / 5) % 40);
  }
  std::vector<TokenId> ids_;
  const UnigramCounts unigram_{config_.vocab_size};
};

TEST_F(OwnObjectiveTest, IsScoredOnItsRowsAsCausalPredictionIsOnItsOwn) {
  const Evaluation causal = evaluate(score_, {{"prose", ids_, 1, 100}}, 16, 2, 0, &unigram_);
  const Evaluation own = evaluate(score_, {"ul2", {{"prose", as_rows(causal_rows(ids_, 16, 0))}}}, 2, &unigram_);
  EXPECT_EQ(own.overall.tokens, 50u);
  EXPECT_EQ(own.overall.nats, causal.overall.nats);
  EXPECT_EQ(own.overall.correct, causal.overall.correct);
  EXPECT_EQ(own.overall.unigram_nats, causal.overall.unigram_nats);
}

TEST_F(OwnObjectiveTest, IsNullWhereItIsNotFiniteAndStillCountsItsTokens) {
  floats_of(memory_.views().named("model.norm.weight").value)[3] = std::numeric_limits<float>::quiet_NaN();
  const Evaluation evaluation = evaluate(score_, {{"prose", ids_, 1, 100}}, 16, 2, 0, &unigram_);
  EXPECT_FALSE(evaluation.overall.is_finite());
  EXPECT_EQ(evaluation.overall.correct, 0u);
  for (const auto& score : {evaluation.overall_json(), evaluation.corpora_json().at("prose")}) {
    for (const char* key : {"loss", "perplexity", "bits_per_byte"}) EXPECT_TRUE(score.at(key).is_null()) << key;
    EXPECT_EQ(score.at("tokens"), 50);
    EXPECT_TRUE(score.at("unigram_loss").is_number());
  }
}

TEST_F(OwnObjectiveTest, CountsLabelsWhoseLossCountsAndHasNoBitsPerByte) {
  std::vector<Row> rows = as_rows(causal_rows(ids_, 16, 0));
  rows[0].loss_weights.assign(16, 0);
  const Evaluation own = evaluate(score_, {"ul2", {{"prose", rows}, {"short", {}}}}, 2, nullptr);
  EXPECT_EQ(own.overall.tokens, 50u - 16);
  const auto json = own.corpora_json();
  EXPECT_TRUE(json.at("short").is_null());
  EXPECT_EQ(json.at("prose").at("objective"), "ul2");
  EXPECT_EQ(json.at("prose").at("tokens"), 50 - 16);
  EXPECT_TRUE(json.at("prose").at("bits_per_byte").is_null());
  EXPECT_TRUE((Evaluation{"ul2", {}, {}}.overall_json()).is_null());
}

}  // namespace
}  // namespace millrace
