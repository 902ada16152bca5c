#include "pipeline/stream/evaluation_rows.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/pipeline/folder_corpus.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

constexpr TokenId kPad = 0;
constexpr TokenId kEos = 1;

Denoiser denoiser(const std::string& name, DenoiserKind kind, double share) {
  return {name, kind, share, 3, 0.15, kind == DenoiserKind::causal ? "" : name};
}

StreamConfig run_of(const Objective& objective, int length) {
  StreamConfig config;
  config.seed = 7;
  config.sequence_length = length;
  config.phases = {{1 << 20, {"mix", "mix.toml", {folder_corpus("a", kShareUnits)}}, objective}};
  return config;
}

EvaluationRows rows_of(const StreamConfig& config) {
  return {config, corpora_of(config, FindShards::no), 0, tiny_vocabulary()};
}

Objective three_kinds() {
  Objective objective;
  objective.denoisers = {denoiser("[A] ", DenoiserKind::span, 0.3), denoiser("[B] ", DenoiserKind::prefix, 0.5),
                         denoiser("[C] ", DenoiserKind::span, 0.2)};
  objective.denoisers[2].mask_ratio = 0.5;
  return objective;
}

/// Documents of nine pieces and eos.
std::vector<TokenId> held_out_text(int tokens) {
  std::vector<TokenId> ids(static_cast<std::size_t>(tokens));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = i % 10 == 9 ? kEos : static_cast<TokenId>(260 + i % 37);
  return ids;
}

std::vector<std::vector<TokenId>> labels_of(const std::vector<Row>& rows) {
  std::vector<std::vector<TokenId>> labels;
  for (const Row& row : rows) labels.push_back(row.labels);
  return labels;
}

/// The denoiser of a row's first example, recognised by its prompt.
std::string denoiser_of(const Row& row, const Objective& objective) {
  for (const Denoiser& d : objective.denoisers) {
    const std::vector<TokenId> prompt = tiny_vocabulary().encode(d.prompt);
    if (std::equal(prompt.begin(), prompt.end(), row.labels.begin())) return d.name;
  }
  return "none";
}

TEST(EvaluationRows, AreTheTextItselfBehindASplitForAPrefixDenoiser) {
  Objective objective;
  objective.denoisers = {denoiser("", DenoiserKind::prefix, 1)};
  const EvaluationRows make = rows_of(run_of(objective, 10));
  // Eight raw tokens per row; eos between documents does not count; the last three do not fill a row.
  const std::vector<Row> rows =
      make("a", {10, 11, 12, kEos, 13, 14, 15, 16, 17, 18, 19, kEos, 20, 21, 22, 23, 24, 25, 26, 27, 28, kEos});
  ASSERT_EQ(rows.size(), 2u);
  TokenId first = 10;
  for (const Row& row : rows) {
    const auto split = std::ranges::find(row.labels, kEos) - row.labels.begin();
    ASSERT_GT(split, 0);
    ASSERT_LT(split, 8);
    std::vector<TokenId> expected(8);
    std::iota(expected.begin(), expected.end(), first);
    first += 8;
    expected.insert(expected.begin() + split, kEos);
    expected.push_back(kEos);
    EXPECT_EQ(row.labels, expected);
    expected.insert(expected.begin(), kPad);
    expected.pop_back();
    EXPECT_EQ(row.tokens, expected);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(row.loss_weights[static_cast<std::size_t>(i)], i > split ? 1 : 0);
    EXPECT_EQ(row.segment_ids, std::vector<std::int32_t>(10, 1));
  }
}

TEST(EvaluationRows, HaveDenoisersByTheirSharesAndRestoreTheText) {
  const Objective objective = three_kinds();
  const StreamConfig config = run_of(objective, 64);
  const std::vector<TokenId> text = held_out_text(2000);
  const std::vector<Row> rows = rows_of(config)("a", text);
  std::map<std::string, double> counts;
  std::vector<TokenId> restored;
  const PreparedPhase plan =
      std::move(prepare_phases(config, corpora_of(config, FindShards::no), tiny_vocabulary())[0]);
  for (const Row& row : rows) {
    const std::string name = denoiser_of(row, objective);
    ++counts[name];
    const auto index = std::ranges::find(objective.denoisers, name, &Denoiser::name) - objective.denoisers.begin();
    const auto targets = row.labels.begin() + (std::ranges::find(row.loss_weights, 1.0F) - row.loss_weights.begin());
    const auto end = row.labels.begin() + std::ranges::count_if(row.segment_ids, [](int id) { return id != 0; });
    const std::vector<TokenId> tokens =
        plan.denoisers[static_cast<std::size_t>(index)].restore({{row.labels.begin(), targets}, {targets, end}, {}, 0});
    restored.insert(restored.end(), tokens.begin(), tokens.end());
  }
  for (const Denoiser& d : objective.denoisers)
    EXPECT_NEAR(counts[d.name], d.share * static_cast<double>(rows.size()), 1) << d.name;
  std::vector<TokenId> raw = text;
  std::erase(raw, kEos);
  ASSERT_LT(restored.size(), raw.size());
  EXPECT_LT(raw.size() - restored.size(), plan.longest);
  raw.resize(restored.size());
  EXPECT_EQ(restored, raw);
}

TEST(EvaluationRows, AreTheSameWheneverTheyAreMadeAndOthersForAnotherSeedOrCorpus) {
  StreamConfig config = run_of(three_kinds(), 64);
  const std::vector<TokenId> text = held_out_text(600);
  const auto once = labels_of(rows_of(config)("a", text));
  EXPECT_EQ(once, labels_of(rows_of(config)("a", text)));
  EXPECT_NE(once, labels_of(rows_of(config)("b", text)));
  config.sampling = Sampling::random;  // Affects the stream only.
  EXPECT_EQ(once, labels_of(rows_of(config)("a", text)));
  config.seed = 8;
  EXPECT_NE(once, labels_of(rows_of(config)("a", text)));
}

TEST(EvaluationRows, KeepEosBetweenDocumentsWhereItIsTheSeparator) {
  Objective objective;
  objective.separator = Separator::eos;
  objective.denoisers = {denoiser("", DenoiserKind::prefix, 1)};
  const auto rows = rows_of(run_of(objective, 10))("a", held_out_text(16));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(std::ranges::count(rows[1].labels, kEos), 3);
}

TEST(EvaluationRows, HoldAsManyExamplesAsFitInThePackedLayout) {
  Objective objective = three_kinds();
  objective.layout = RowLayout::openmoe;
  objective.lengths = {18, 12};
  const auto rows = rows_of(run_of(objective, 64))("a", held_out_text(1000));
  ASSERT_GT(rows.size(), 10u);
  for (const Row& row : rows) {
    EXPECT_EQ(row.labels.size(), 64u);
    EXPECT_GE(std::ranges::max(row.segment_ids), &row == &rows.back() ? 1 : 2);
  }
}

TEST(EvaluationRows, AreNoneOfATextThatIsTooShort) {
  EXPECT_TRUE(rows_of(run_of(three_kinds(), 64))("a", held_out_text(20)).empty());
}

}  // namespace
}  // namespace millrace
