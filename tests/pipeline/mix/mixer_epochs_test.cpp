#include <cmath>
#include <map>
#include <set>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/pipeline/mix/mixer_fixture.h"
#include "tests/pipeline/stream/serial_stream.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

/// The documents of corpus 0 in the order in which they begin; checks the shares at the same time.
template <typename NameOf>
std::vector<std::uint64_t> documents_begun(const StreamConfig& config, std::size_t wanted, NameOf&& name_of) {
  SerialStream stream(config);
  Counts counts(config.phases[0].mix.corpora.size(), config.phases[0].objective.denoisers.size());
  std::vector<std::uint64_t> begun;
  while (begun.size() < wanted) {
    const std::optional<MixedSegment> ticket = stream.next();
    if (!ticket) break;
    counts.add(ticket->origin);
    const std::string found = breach(counts, stream.plan(0));
    if (!found.empty()) throw std::runtime_error(found);
    if (ticket->origin.corpus != 0) continue;
    for (const DocumentSpan& span : ticket->origin.documents)
      if (span.from == 0) begun.push_back(name_of(span));
  }
  return begun;
}

TEST(Mixer, GivesEveryDocumentOnceAnEpochAndItsShareFromOneFileAndFromAThousand) {
  constexpr std::size_t kDocuments = 1000;
  const TemporaryFolder data;
  std::string all;
  for (std::size_t i = 0; i < kDocuments; ++i) {
    const std::string line = json_line(tiny_text(i, 1 + static_cast<int>(i % 9)));
    all += line;
    data.write("many/part-" + std::to_string(i) + ".jsonl", line);
  }
  data.write("one/part.jsonl", all);
  data.write("other/part.jsonl", json_line(tiny_text(5000, 500)));
  const auto begun = [&](const std::string& name, auto name_of) {
    StreamConfig config =
        config_over(data.path(), {folder_corpus(name, 370'000'000), folder_corpus("other", 630'000'000)},
                    three_denoisers(300'000'000, 1));
    return documents_begun(config, 3 * kDocuments, name_of);
  };
  for (const std::vector<std::uint64_t>& documents :
       {begun("one", [](const DocumentSpan& span) { return span.record; }),
        begun("many", [](const DocumentSpan& span) { return std::uint64_t{span.shard}; })}) {
    ASSERT_GE(documents.size(), 3 * kDocuments);
    std::set<std::vector<std::uint64_t>> orders;
    for (std::size_t epoch = 0; epoch < 3; ++epoch) {
      const auto first = documents.begin() + static_cast<std::ptrdiff_t>(epoch * kDocuments);
      const std::vector<std::uint64_t> order(first, first + kDocuments);
      EXPECT_EQ(std::set<std::uint64_t>(order.begin(), order.end()).size(), kDocuments) << "in epoch " << epoch;
      orders.insert(order);
    }
    EXPECT_EQ(orders.size(), 3U) << "two epochs have the same order";
  }
}

TEST(Mixer, TakesAboutThePartOfAFractionalEpochThatIsAskedFor) {
  constexpr std::size_t kDocuments = 2000;
  const TemporaryFolder data;
  std::string lines;
  for (std::size_t i = 0; i < kDocuments; ++i) lines += json_line(tiny_text(i, 8));
  data.write("a/part.jsonl", lines);
  Corpus a = folder_corpus("a", kShareUnits);
  a.max_epochs = 2.3;
  a.at_end = AtEnd::stop;
  const std::vector<std::uint64_t> begun =
      documents_begun(config_over(data.path(), {a}, three_denoisers(300'000'000, 300'000'000)), 3 * kDocuments,
                      [](const DocumentSpan& span) { return span.record; });
  std::map<std::uint64_t, int> times;
  for (const std::uint64_t document : begun) ++times[document];
  EXPECT_EQ(times.size(), kDocuments);
  int thrice = 0;
  for (const auto& [document, count] : times) {
    EXPECT_TRUE(count == 2 || count == 3) << "document " << document << " came " << count << " times";
    thrice += count == 3 ? 1 : 0;
  }
  const double deviation = std::sqrt(0.3 * 0.7 * kDocuments);
  EXPECT_NEAR(thrice, 0.3 * kDocuments, 4 * deviation);
}

/// Corpus "brief" of 30 documents for one epoch, and two that do not run out.
class MixerWithABriefCorpus : public testing::Test {
 protected:
  MixerWithABriefCorpus() {
    std::string lines;
    for (std::uint64_t i = 0; i < 30; ++i) {
      lines += json_line(tiny_text(i, 20));
      brief_tokens_ += tiny_vocabulary().encode(tiny_text(i, 20)).size();
    }
    data_.write("brief/part.jsonl", lines);
    data_.write("b/part.jsonl", json_line(tiny_text(100, 300)));
    data_.write("c/part.jsonl", json_line(tiny_text(200, 300)));
  }
  StreamConfig config(AtEnd at_end) const {
    Corpus brief = folder_corpus("brief", 200'000'000);
    brief.max_epochs = 1;
    brief.at_end = at_end;
    return config_over(data_.path(), {brief, folder_corpus("b", 300'000'000), folder_corpus("c", 500'000'000)},
                       three_denoisers(300'000'000, 200'000'000));
  }
  TemporaryFolder data_;
  std::uint64_t brief_tokens_ = 0;
};

TEST_F(MixerWithABriefCorpus, SharesAnewAmongTheOthersAtEveryPrefixOnceItIsClosed) {
  SerialStream stream(config(AtEnd::redistribute));
  PreparedPhase plan = stream.plan(0);
  Counts counts(3, 3);
  std::uint64_t consumed = 0;
  int after_closing = 0;
  while (after_closing < 500) {
    const std::optional<MixedSegment> ticket = stream.next();
    ASSERT_TRUE(ticket.has_value());
    const CorpusPosition& brief = ticket->after->corpora[0];
    if (!brief.open && plan.corpus_shares[0] > 0) {
      plan.corpus_shares[0] = 0;
      counts.raw_tokens.assign(3, 0);  // The denoisers' shares go on.
      EXPECT_EQ(consumed + brief.tail_tokens, brief_tokens_);
      EXPECT_LT(brief.tail_tokens, plan.longest);
    }
    if (ticket->origin.corpus == 0) consumed += ticket->origin.raw_tokens;
    counts.add(ticket->origin);
    ASSERT_EQ(breach(counts, plan), "");
    if (brief.open) continue;
    ++after_closing;
    ASSERT_NE(ticket->origin.corpus, 0U);
  }
  EXPECT_GT(consumed, 0U);
}

TEST_F(MixerWithABriefCorpus, EndsTheStreamWithLessThanAnExampleLeftOfIt) {
  SerialStream stream(config(AtEnd::stop));
  Counts counts(3, 3);
  while (const std::optional<MixedSegment> ticket = stream.next()) {
    counts.add(ticket->origin);
    ASSERT_LE(counts.raw_tokens[0], brief_tokens_);
  }
  EXPECT_GT(counts.raw_tokens[0] + stream.plan(0).longest, brief_tokens_);
}

TEST(Mixer, GoesOnInALaterPhaseWhereTheCorpusStood) {
  const TemporaryFolder data;
  std::string lines;
  for (std::uint64_t i = 0; i < 50; ++i) lines += json_line(tiny_text(i, 15));
  data.write("a/part.jsonl", lines);
  data.write("b/part.jsonl", lines);
  const Objective first = three_denoisers(300'000'000, 200'000'000);
  const Objective second = three_denoisers(500'000'000, 400'000'000);
  const auto ids_of_a = [](const StreamConfig& config, std::size_t rows) {
    SerialStream stream(config);
    std::vector<TokenId> ids;
    for (std::size_t row = 0; row < rows; ++row) {
      const std::optional<MixedSegment> ticket = stream.next();
      if (!ticket) break;
      if (ticket->after->corpora[ticket->origin.corpus].corpus != "a") continue;
      ids.insert(ids.end(), ticket->segment.tokens.begin(), ticket->segment.tokens.end());
    }
    return ids;
  };
  StreamConfig phased =
      config_over(data.path(), {folder_corpus("a", 600'000'000), folder_corpus("b", 400'000'000)}, first);
  phased.shuffle_tokens = 0;
  phased.phases[0].until = 20 * kRowLength;
  phased.phases.push_back({40 * kRowLength, {"mix", "mix.toml", {folder_corpus("b", kShareUnits)}}, second});
  phased.phases.push_back({90 * kRowLength, phased.phases[0].mix, second});
  const std::vector<TokenId> with_phases = ids_of_a(phased, 1000);
  StreamConfig only_a = config_over(data.path(), {folder_corpus("a", kShareUnits)}, first);
  only_a.shuffle_tokens = 0;
  std::vector<TokenId> alone = ids_of_a(only_a, 90);
  ASSERT_GT(with_phases.size(), 30U * 40U);
  ASSERT_GT(alone.size(), with_phases.size());
  alone.resize(with_phases.size());
  EXPECT_EQ(with_phases, alone);
}

}  // namespace
}  // namespace millrace
