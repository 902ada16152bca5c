// The packed layout from the mixer to rows: the contents of rows, and that no token is lost.
#include "pipeline/stream/row_packer.h"

#include <algorithm>
#include <map>
#include <memory>

#include <gtest/gtest.h>

#include "pipeline/formats/rows_provenance.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/row_provenance.h"
#include "stages/errors.h"
#include "tests/json_again.h"
#include "tests/pipeline/mix/mixer_fixture.h"
#include "tests/pipeline/stream/serial_stream.h"

namespace millrace {
namespace {

/// Rows of 64 positions with inputs of 18 and targets of 12: two or three examples a row.
class PackedRows : public testing::Test {
 protected:
  PackedRows() {
    std::string lines;
    for (std::uint64_t i = 0; i < 200; ++i) lines += json_line(tiny_text(i, 5 + static_cast<int>(i % 40)));
    data_.write("a/part.jsonl", lines);
    data_.write("b/part.jsonl", lines);
    Objective objective = three_denoisers(300'000'000, 300'000'000);
    objective.layout = RowLayout::openmoe;
    objective.lengths = {18, 12};
    config_ = config_over(data_.path(), {folder_corpus("a", 600'000'000), folder_corpus("b", 400'000'000)}, objective);
    config_.phases[0].until = kRows * kRowLength;
  }

  struct Packed {
    StreamRow row;
    std::vector<Example> examples;
    std::vector<Segment> segments;
    std::vector<std::shared_ptr<const StreamPosition>> after;  ///< Each example.
  };

  /// All rows, with their origins.
  std::vector<Packed> rows() const {
    SerialStream stream(config_);
    RowPacker packer(config_, tiny_vocabulary().pad());
    std::vector<Packed> rows(1);
    const auto take = [&] {
      std::optional<StreamRow> row = packer.take();
      if (!row) return;
      rows.back().row = std::move(*row);
      rows.emplace_back();
    };
    while (std::optional<MixedSegment> ticket = stream.next()) {
      if (!packer.belongs_to_open_row(*ticket)) take();
      const SegmentToExample& denoise = stream.plan(ticket->origin.phase).denoisers[ticket->origin.denoiser];
      ItemRng rng(config_.seed, Purpose::span_lengths, ticket->origin.example);
      rows.back().examples.push_back(denoise(ticket->segment, rng));
      rows.back().segments.push_back(ticket->segment);
      rows.back().after.push_back(ticket->after);
      const bool ends_row = ticket->ends_row;
      packer.add(std::move(*ticket), rows.back().examples.back());
      if (ends_row) take();
    }
    take();
    rows.pop_back();
    return rows;
  }

  static constexpr std::uint64_t kRows = 200;
  TemporaryFolder data_;
  StreamConfig config_;
};

TEST_F(PackedRows, AreToldWholeInTheirStory) {
  for (const Packed& packed : rows()) {
    StreamRow again;
    add_provenance(again, JsonValue::parse(json_line(provenance_json(packed.row)), {"part-00000.rows", 0, ""}));
    EXPECT_EQ(again.examples, packed.row.examples);
    EXPECT_EQ(again.raw_tokens, packed.row.raw_tokens);
    EXPECT_TRUE(*again.after == *packed.row.after);
  }
}

TEST_F(PackedRows, AreToldWholeBesideOthersInAnyOrderWithEveryPlaceOnce) {
  const std::vector<Packed> packed = rows();
  RowsProvenance provenance;
  std::uint64_t places = 0;
  for (std::size_t r = 0; r < packed.size(); ++r) {
    provenance.add(packed[r].row);
    for (std::size_t c = 0; c < packed[r].row.after->corpora.size(); ++c)
      places += r == 0 || packed[r].row.after->corpora[c].place != packed[r - 1].row.after->corpora[c].place ? 1 : 0;
  }
  const std::string bytes = provenance.bytes();
  const auto written = JsonValue::parse(bytes.substr(0, bytes.find('\n')), {"places", 0, ""}).elements();
  EXPECT_EQ(written.size(), places);
  EXPECT_LT(places, packed.size());
  const RowsProvenanceReader reader(bytes, packed.size(), "part-00000.rows");
  for (std::size_t r = packed.size(); r-- > 0;) {
    StreamRow again;
    reader.fill(again, r);
    EXPECT_EQ(again.examples, packed[r].row.examples);
    EXPECT_EQ(again.raw_tokens, packed[r].row.raw_tokens);
    EXPECT_EQ(again.rejects.size(), packed[r].row.rejects.size());
    EXPECT_TRUE(*again.after == *packed[r].row.after);
  }
}

TEST_F(PackedRows, AreRefusedIfWhatIsToldOfThemIsNotThere) {
  const std::vector<Packed> packed = rows();
  RowsProvenance provenance;
  for (const Packed& one : packed) provenance.add(one.row);
  const std::string bytes = provenance.bytes();
  EXPECT_THROW(RowsProvenanceReader("[]\n{}\n", 2, "p"), ConfigError);
  EXPECT_THROW(RowsProvenanceReader("{}\n{}\n", 1, "p"), ConfigError);
  StreamRow row;
  EXPECT_THROW(RowsProvenanceReader("[]" + bytes.substr(bytes.find('\n')), packed.size(), "p").fill(row, 0),
               ConfigError);
  const std::uint64_t last = packed.size() - 1;
  EXPECT_THROW(RowsProvenanceReader(bytes.substr(0, bytes.size() - 4), packed.size(), "p").fill(row, last),
               ConfigError);
  EXPECT_NO_THROW(RowsProvenanceReader(bytes, packed.size(), "p").fill(row, last));
}

TEST_F(PackedRows, HoldAsManyExamplesInStreamOrderAsFit) {
  const std::vector<Packed> packed = rows();
  ASSERT_EQ(packed.size(), kRows);
  std::uint64_t example = 0;
  std::map<std::size_t, int> rows_with;
  for (std::size_t r = 0; r < packed.size(); ++r) {
    const StreamRow& row = packed[r].row;
    ASSERT_EQ(row.number, r);
    ++rows_with[row.examples.size()];
    std::uint32_t used = 0;
    for (const ExampleOrigin& origin : row.examples) {
      ASSERT_EQ(origin.example, example++);
      ASSERT_EQ(origin.first, used);
      used += origin.inputs + origin.targets;
    }
    ASSERT_LE(used, static_cast<std::uint32_t>(kRowLength));
    if (r + 1 == packed.size()) break;
    const ExampleOrigin& next = packed[r + 1].row.examples.front();
    ASSERT_GT(used + next.inputs + next.targets, static_cast<std::uint32_t>(kRowLength))
        << "row " << r << " has room for the next example";
  }
  EXPECT_GT(rows_with.size(), 1U);
  EXPECT_EQ(rows_with.count(1), 0U);
}

TEST_F(PackedRows, HoldInputsAndTargetsWhereTheirOriginsSay) {
  for (const Packed& packed : rows()) {
    const Row& row = packed.row.row;
    auto raw = packed.row.raw_tokens.begin();
    for (std::size_t i = 0; i < packed.examples.size(); ++i) {
      const ExampleOrigin& origin = packed.row.examples[i];
      const Example& example = packed.examples[i];
      const auto inputs = row.labels.begin() + origin.first;
      ASSERT_TRUE(std::equal(example.inputs.begin(), example.inputs.end(), inputs));
      ASSERT_TRUE(std::equal(example.targets.begin(), example.targets.end(), inputs + origin.inputs));
      for (std::uint32_t at = 0; at < origin.inputs + origin.targets; ++at) {
        ASSERT_EQ(row.loss_weights[origin.first + at], at < origin.inputs ? 0.0F : 1.0F);
        ASSERT_EQ(row.segment_ids[origin.first + at], static_cast<std::int32_t>(i) + 1);
      }
      ASSERT_EQ(row.tokens[origin.first], tiny_vocabulary().pad());
      const std::vector<TokenId>& tokens = packed.segments[i].tokens;
      ASSERT_EQ(origin.segment_tokens, tokens.size());
      ASSERT_TRUE(std::equal(tokens.begin(), tokens.end(), raw));
      raw += static_cast<std::ptrdiff_t>(tokens.size());
    }
    ASSERT_EQ(raw, packed.row.raw_tokens.end());
  }
}

TEST_F(PackedRows, AddUpToTheLedgerWithWhatWasTrimmed) {
  SerialStream plans(config_);
  Ledger ledger;
  std::uint64_t loss_weights = 0, restored = 0;
  std::vector<Packed> packed = rows();
  for (const Packed& one : packed) {
    ledger.add(one.row);
    loss_weights += static_cast<std::uint64_t>(std::ranges::count(one.row.row.loss_weights, 1.0F));
    for (std::size_t i = 0; i < one.examples.size(); ++i)
      restored += plans.plan(0).denoisers[one.row.examples[i].denoiser].restore(one.examples[i]).size();
  }
  EXPECT_EQ(ledger.positions(), kRows * kRowLength);
  EXPECT_EQ(ledger.loss_tokens(), loss_weights);
  EXPECT_GT(ledger.trimmed_tokens(), 0U);
  EXPECT_EQ(ledger.raw_tokens(), restored + ledger.trimmed_tokens());
  std::uint64_t consumed = 0;
  for (const CorpusPosition& corpus : packed.back().row.after->corpora) consumed += corpus.raw_tokens;
  EXPECT_EQ(ledger.raw_tokens(), consumed);
  EXPECT_TRUE(json_again(ledger) == ledger);
}

TEST_F(PackedRows, AreClosedWhereAPhaseEnds) {
  config_.phases.push_back(config_.phases[0]);
  config_.phases[0].until = 50 * kRowLength;
  config_.phases[1].objective.lengths = {16, 12};
  const std::vector<Packed> packed = rows();
  ASSERT_EQ(packed.size(), kRows);
  for (std::size_t r = 0; r < packed.size(); ++r) {
    for (const ExampleOrigin& origin : packed[r].row.examples) ASSERT_EQ(origin.phase, r < 50 ? 0U : 1U) << r;
  }
  EXPECT_GT(packed[49].row.examples.size(), 1U) << "the last row of a phase is filled, too";
}

/// Otherwise a stream that resumes after a row might find a corpus open that was closed within the row.
TEST_F(PackedRows, AreClosedBeforeACorpusIs) {
  std::vector<Corpus>& corpora = config_.phases[0].mix.corpora;
  corpora[0].share = corpora[1].share = 200'000'000;
  for (std::uint64_t i = 0; i < 30; ++i) {
    const std::string name = "brief-" + std::to_string(i);
    data_.write(name + "/part.jsonl", json_line(tiny_text(i, 20 + 9 * static_cast<int>(i))));
    corpora.push_back(folder_corpus(name, 20'000'000, 1, AtEnd::redistribute));
  }
  const auto open_corpora = [](const StreamPosition& position) {
    return std::ranges::count_if(position.corpora, [](const CorpusPosition& corpus) { return corpus.open; });
  };
  const std::vector<Packed> packed = rows();
  int closed_early = 0;
  for (std::size_t r = 0; r + 1 < packed.size(); ++r) {
    for (const auto& after : packed[r].after)
      ASSERT_EQ(open_corpora(*after), open_corpora(*packed[r].after.front())) << "row " << r;
    const ExampleOrigin& last = packed[r].row.examples.back();
    const ExampleOrigin& next = packed[r + 1].row.examples.front();
    if (last.first + last.inputs + last.targets + next.inputs + next.targets > kRowLength) continue;
    ++closed_early;
    ASSERT_LT(open_corpora(*packed[r + 1].after.front()), open_corpora(*packed[r].after.back())) << "row " << r;
  }
  EXPECT_GT(closed_early, 0) << "rows that would have held the next example";
}

TEST_F(PackedRows, KeepDenoisersWithinOneExampleOfTheirShares) {
  Counts counts(2, 3);
  const PreparedPhase plan = SerialStream(config_).plan(0);
  for (const Packed& packed : rows()) {
    for (const ExampleOrigin& origin : packed.row.examples) {
      counts.add(origin);
      ASSERT_EQ(breach(counts, plan), "");
    }
  }
}

TEST_F(PackedRows, OfOpenMoesOwnLengthsHoldOneExampleEach) {
  config_.sequence_length = 128;
  config_.phases[0].objective.lengths = {64, 64};
  config_.phases[0].until = 50 * 128;
  for (const Packed& packed : rows()) ASSERT_EQ(packed.examples.size(), 1U);
}

TEST_F(PackedRows, RefuseInputsAndTargetsThatTogetherExceedARow) {
  config_.phases[0].objective.lengths = {40, 30};
  EXPECT_THROW(rows(), ConfigError);
}

}  // namespace
}  // namespace millrace
