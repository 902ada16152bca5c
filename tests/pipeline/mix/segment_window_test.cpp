#include "pipeline/mix/segment_window.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "stages/errors.h"
#include "tests/json_again.h"
#include "tests/pipeline/mix/mixer_fixture.h"
#include "tests/property.h"
#include "tests/tiny_vocabulary.h"

namespace millrace {
namespace {

using Kind = EncodedRecord::Kind;
using Supply = TokenBuffer::Supply;
constexpr TokenId kIdsOfARecord = 1000;  // Ids of record r are r * kIdsOfARecord + their place, in every epoch.

/// A corpus of documents of given lengths (0: a record that is passed over), read in order, epoch by epoch.
struct Documents {
  std::vector<std::uint64_t> lengths;
  std::uint64_t epochs = 1;
};

/// Its items from a position on.
class Items {
 public:
  Items(const Documents& documents, const CorpusPosition& from) : documents_(documents), epoch_(from.place.epoch) {
    if (!from.place.lanes.empty()) record_ = from.place.lanes[0].index;
    ended_ = !from.open;
  }

  /// False behind the end.
  bool give(SegmentWindow& window) {
    if (ended_) return false;
    EncodedRecord item;
    if (record_ < documents_.lengths.size()) {
      const std::uint64_t length = documents_.lengths[record_];
      item.place.epoch = epoch_;
      item.place.at.index = record_;
      item.where.record = record_;
      item.kind = length > 0 ? Kind::document : Kind::rejected;
      if (length == 0) item.rejects.push_back({{"shard", record_, 0, 0}, RejectCause::bad_json, "reason", 0});
      for (std::uint64_t i = 0; i < length; ++i)
        item.tokens.push_back(static_cast<TokenId>(record_) * kIdsOfARecord + static_cast<TokenId>(i));
      ++record_;
    } else {
      record_ = 0;
      ended_ = ++epoch_ == documents_.epochs;
      item.kind = ended_ ? Kind::corpus_end : Kind::epoch_end;
      item.place.epoch = epoch_;
    }
    window.arrive(std::move(item));
    return true;
  }

 private:
  const Documents& documents_;
  std::uint64_t epoch_;
  std::uint64_t record_ = 0;
  bool ended_ = false;
};

/// A run of one corpus: all that a SegmentWindow refers to.
struct OneCorpus {
  OneCorpus(Documents given, std::uint64_t shuffle_tokens, const std::vector<Objective>& objectives)
      : documents(std::move(given)) {
    Corpus corpus = folder_corpus("a", kShareUnits, static_cast<double>(documents.epochs), AtEnd::stop);
    config = config_over("", {corpus}, objectives.front());
    config.shuffle_tokens = shuffle_tokens;
    config.max_bad_fraction = 1;
    for (std::size_t i = 1; i < objectives.size(); ++i)
      config.phases.push_back({kForever, config.phases[0].mix, objectives[i]});
    corpora = corpora_of(config, FindShards::no);
    plans = prepare_phases(config, corpora, tiny_vocabulary());
  }
  CorpusPosition start() const {
    CorpusPosition start;
    start.corpus = "a";
    start.phase_examples.assign(plans[0].denoisers.size(), 0);
    return start;
  }

  Documents documents;
  StreamConfig config;
  std::vector<RunCorpus> corpora;
  std::vector<PreparedPhase> plans;
};

/// What one example was made from.
struct Given {
  std::uint32_t phase = 0;
  std::size_t denoiser = 0;
  Segment segment;
  std::size_t begun = 0;

  bool operator==(const Given& other) const {
    return phase == other.phase && denoiser == other.denoiser && begun == other.begun &&
           segment.tokens == other.segment.tokens && segment.documents == other.segment.documents;
  }
};

/// Examples of a corpus, phase by phase.
class Giver {
 public:
  explicit Giver(const OneCorpus& corpus) : Giver(corpus, corpus.start(), 0) {}
  Giver(const OneCorpus& corpus, const CorpusPosition& from, std::uint32_t phase)
      : phase_(phase), window_(corpus.config, corpus.corpora[0], corpus.plans, from), items_(corpus.documents, from) {}

  /// Empty at the corpus's end.
  std::optional<Given> next() {
    for (;;) {
      const Supply supply = window_.supply(phase_);
      if (supply == Supply::ended) return std::nullopt;
      if (supply == Supply::enough) break;
      if (!items_.give(window_)) throw std::logic_error("more is awaited behind the end");
    }
    Given given{phase_, window_.next_denoiser(phase_), {}, 0};
    TokenBuffer::Cut cut = window_.take(phase_);
    given.segment = std::move(cut.segment);
    given.begun = cut.begun.size();
    return given;
  }
  void begin_phase(std::uint32_t phase) { window_.begin_phase(phase_ = phase); }
  std::uint32_t phase() const { return phase_; }
  SegmentWindow& window() { return window_; }

 private:
  std::uint32_t phase_;
  SegmentWindow window_;
  Items items_;
};

Objective causal(Separator separator) {
  Objective objective;
  objective.denoisers = {denoiser(DenoiserKind::causal, kShareUnits)};
  objective.separator = separator;
  return objective;
}

std::vector<Given> all_of(Giver giver) {
  std::vector<Given> all;
  while (std::optional<Given> given = giver.next()) all.push_back(std::move(*given));
  return all;
}

Documents many_documents(std::uint64_t number, std::uint64_t length, std::uint64_t epochs = 1) {
  return {std::vector<std::uint64_t>(number, length), epochs};
}

std::vector<std::vector<TokenId>> ids_of(const std::vector<Given>& examples) {
  std::vector<std::vector<TokenId>> ids;
  for (const Given& given : examples) ids.push_back(given.segment.tokens);
  return ids;
}

TEST(SegmentWindow, GivesThePlainOrderIfNothingIsShuffled) {
  const OneCorpus corpus(many_documents(20, 50), 0, {causal(Separator::none)});
  std::vector<TokenId> ids;
  for (const Given& given : all_of(Giver(corpus)))
    ids.insert(ids.end(), given.segment.tokens.begin(), given.segment.tokens.end());
  EXPECT_TRUE(std::ranges::is_sorted(ids));
}

TEST(SegmentWindow, PermutesTheSegmentsOfEachDenoiserAndChangesNothingElse) {
  const Objective three = three_denoisers(400'000'000, 300'000'000);
  const OneCorpus plain(many_documents(60, 300), 0, {three});
  const OneCorpus shuffled(many_documents(60, 300), 1 << 20, {three});
  const std::vector<Given> in_order = all_of(Giver(plain));
  const std::vector<Given> permuted = all_of(Giver(shuffled));
  ASSERT_EQ(in_order.size(), permuted.size());
  std::map<std::size_t, std::multiset<std::vector<TokenId>>> of_denoiser;
  std::map<std::size_t, std::multiset<std::vector<TokenId>>> expected;
  std::size_t at_home = 0;
  for (std::size_t i = 0; i < permuted.size(); ++i) {
    ASSERT_EQ(permuted[i].denoiser, in_order[i].denoiser) << "example " << i;
    at_home += permuted[i] == in_order[i] ? 1 : 0;
    of_denoiser[permuted[i].denoiser].insert(permuted[i].segment.tokens);
    expected[in_order[i].denoiser].insert(in_order[i].segment.tokens);
  }
  EXPECT_EQ(of_denoiser, expected);
  EXPECT_LT(at_home, in_order.size() / 10);
}

TEST(SegmentWindow, HasAnotherOrderInEveryEpochAndForEverySeed) {
  const Documents documents = many_documents(64, 64, 2);
  OneCorpus corpus(documents, 1 << 20, {causal(Separator::none)});
  corpus.config.sequence_length = kRowLength;
  const std::vector<Given> examples = all_of(Giver(corpus));
  const std::vector<std::vector<TokenId>> ids = ids_of(examples);
  const auto first_of_second =
      std::ranges::find_if(examples, [](const Given& g) { return g.segment.documents.front().epoch == 1; });
  ASSERT_NE(first_of_second, examples.end());
  OneCorpus other(documents, 1 << 20, {causal(Separator::none)});
  other.config.seed = corpus.config.seed + 1;
  EXPECT_NE(ids_of(all_of(Giver(other))), ids);
}

/// How many segments straddle two epochs; checks that nothing of an epoch comes behind the next one's begin.
int segments_that_straddle(const OneCorpus& corpus) {
  std::uint64_t epoch = 0;
  int straddle = 0;
  for (const Given& given : all_of(Giver(corpus))) {
    const std::uint64_t last = given.segment.documents.back().epoch;
    EXPECT_LE(given.segment.documents.front().epoch, epoch + 1);
    EXPECT_GE(given.segment.documents.front().epoch, epoch);
    straddle += given.segment.documents.front().epoch != last ? 1 : 0;
    epoch = last;
  }
  return straddle;
}

TEST(SegmentWindow, LiesInOneEpochAndLetsASegmentStraddleTwoAlone) {
  const OneCorpus corpus(many_documents(30, 50, 4), 1 << 20, {causal(Separator::none)});
  EXPECT_EQ(segments_that_straddle(corpus), 3);
}

TEST(SegmentWindow, LiesInOneEpochWhereThatEndsWithASegment) {
  const OneCorpus corpus(many_documents(30, kRowLength - 1, 4), 1 << 20, {causal(Separator::none)});
  EXPECT_EQ(segments_that_straddle(corpus), 0);
}

/// After how many examples each window of the first epoch is used up. Documents are one segment each.
std::vector<std::size_t> ends_of_windows(std::uint64_t documents, std::uint64_t segments_a_window) {
  const OneCorpus corpus(many_documents(documents, kRowLength - 1), segments_a_window * (kRowLength - 1),
                         {causal(Separator::none)});
  Giver giver(corpus);
  std::vector<std::size_t> ends;
  for (std::size_t given = 1; giver.next(); ++given)
    if (giver.window().position().windows.empty()) ends.push_back(given);
  return ends;
}

TEST(SegmentWindow, TakesWhatIsLeftOfItsEpochIfThatIsHalfAWindowAtMost) {
  EXPECT_THAT(ends_of_windows(14, 10), testing::ElementsAre(14));
  EXPECT_THAT(ends_of_windows(16, 10), testing::ElementsAre(10, 16));
  EXPECT_THAT(ends_of_windows(34, 10), testing::ElementsAre(10, 20, 34));
  EXPECT_THAT(ends_of_windows(3, 10), testing::ElementsAre(3));
}

TEST(SegmentWindow, SpreadsTheSegmentsOfADocument) {
  const OneCorpus corpus(many_documents(40, 800), 1 << 20, {causal(Separator::none)});
  std::size_t neighbours = 0;
  std::optional<std::uint64_t> before;
  const std::vector<Given> examples = all_of(Giver(corpus));
  for (const Given& given : examples) {
    const std::uint64_t record = given.segment.documents.front().record;
    neighbours += before == record ? 1 : 0;
    before = record;
  }
  EXPECT_LT(neighbours, examples.size() / 10) << "of a document of 13 segments";
}

TEST(SegmentWindow, EndsTheStreamBeforeTheWindowThatAnErrorCutsShort) {
  const OneCorpus corpus(many_documents(1, 1), 500, {causal(Separator::none)});
  SegmentWindow window(corpus.config, corpus.corpora[0], corpus.plans, corpus.start());
  const auto arrive = [&](std::uint64_t record, int length) {
    EncodedRecord item;
    item.place.at.index = record;
    item.where.record = record;
    item.tokens.assign(static_cast<std::size_t>(length), 7);
    window.arrive(std::move(item));
  };
  arrive(0, 600);
  arrive(1, 300);
  EncodedRecord failure;
  failure.kind = Kind::failure;
  failure.failure = std::make_exception_ptr(DataError("a shard is damaged"));
  window.arrive(std::move(failure));
  std::size_t given = 0;
  EXPECT_THROW(
      while (window.supply(0) == Supply::enough) {
        window.take(0);
        ++given;
      },
      DataError);
  EXPECT_EQ(given, 8U) << "a window of 8 segments of 63 ids";
  EXPECT_TRUE(window.position().windows.empty());
}

TEST(SegmentWindow, RefusesAPositionThatItsCorpusCannotHave) {
  const OneCorpus corpus(many_documents(10, 20), 1 << 20, {causal(Separator::none)});
  CorpusPosition start = corpus.start();
  start.source.place = "positions.jsonl:3: corpora[0]";
  start.windows = {{0, 0, {0}, 1000}};
  Giver giver(corpus, start, 0);
  try {
    giver.next();
    FAIL() << "not refused";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("positions.jsonl:3: corpora[0]: 1000 examples of a window of epoch 0 were given"));
  }
}

/// How often each id of each epoch was given.
using Times = std::map<std::pair<std::uint64_t, TokenId>, int>;

void count(const Given& given, Times& times) {
  for (const DocumentSpan& span : given.segment.documents)
    for (std::uint64_t i = span.from; i < span.to; ++i)
      ++times[{span.epoch, static_cast<TokenId>(span.record) * kIdsOfARecord + static_cast<TokenId>(i)}];
}

/// Random documents, epochs, windows and phases, with and without separators; the run is stopped and goes on from its
/// position at random examples. All that it gives is the same as without stops; each id comes exactly once an epoch,
/// but those of the tail; each segment holds the ids that its spans name; the records told are those that were read.
void give_every_token_once_an_epoch_whatever_the_stops() {
  Documents documents;
  documents.lengths =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, 200)));
  documents.lengths.push_back(1);
  documents.epochs = *rc::gen::inRange<std::uint64_t>(1, 4);
  const auto shuffle_tokens = *rc::gen::element<std::uint64_t>(0, 100, 300, 1000, 1 << 20);
  std::vector<Objective> objectives;
  for (int phases = *rc::gen::inRange(1, 5); phases > 0; --phases) {
    const auto separator = *rc::gen::element(Separator::none, Separator::eos);
    objectives.push_back(*rc::gen::arbitrary<bool>() ? causal(separator)
                                                     : three_denoisers(500'000'000, 200'000'000, separator));
  }
  OneCorpus corpus(documents, shuffle_tokens, objectives);
  corpus.config.sampling = *rc::gen::element(Sampling::quota, Sampling::random);
  const auto phase_ends = *rc::gen::container<std::vector<int>>(objectives.size(), rc::gen::inRange(0, 30));
  const auto stops = *rc::gen::container<std::set<int>>(rc::gen::inRange(0, 60));

  Giver whole(corpus);
  auto stopped = std::make_unique<Giver>(corpus);
  Times times;
  std::uint64_t begun = 0;
  int left_of_phase = phase_ends[0];
  for (int example = 0;; ++example) {
    while (left_of_phase-- == 0 && whole.phase() + 1 < objectives.size()) {
      whole.begin_phase(whole.phase() + 1);
      stopped->begin_phase(whole.phase());
      left_of_phase = phase_ends[whole.phase()];
    }
    if (stops.contains(example)) {
      RC_ASSERT(json_again(stopped->window().position()) == stopped->window().position());
      stopped = std::make_unique<Giver>(corpus, json_again(stopped->window().position()), stopped->phase());
    }
    const std::optional<Given> given = whole.next();
    const std::optional<Given> again = stopped->next();
    RC_ASSERT(given.has_value() == again.has_value());
    if (!given) break;
    RC_ASSERT(*given == *again);
    RC_ASSERT(whole.window().position() == stopped->window().position());
    RC_ASSERT(given->segment.tokens.size() ==
              static_cast<std::size_t>(corpus.plans[given->phase].denoisers[given->denoiser].raw_length()));
    for (const DocumentSpan& span : given->segment.documents)
      for (std::uint64_t i = span.from; i < span.to; ++i)
        RC_ASSERT(given->segment.tokens[span.at + i - span.from] ==
                  static_cast<TokenId>(span.record) * kIdsOfARecord + static_cast<TokenId>(i));
    count(*given, times);
    begun += given->begun;
    const RecordCounts& told = whole.window().position().records;
    RC_ASSERT(told.read == begun + told.rejected_records);
  }
  whole.window().close();
  const CorpusPosition& end = whole.window().position();
  std::uint64_t tokens = 0;
  std::uint64_t readable = 0;
  for (const std::uint64_t length : documents.lengths) {
    tokens += length * documents.epochs;
    readable += length > 0 ? documents.epochs : 0;
  }
  for (const auto& [id, how_often] : times) RC_ASSERT(how_often == 1);
  RC_ASSERT(times.size() + end.tail_tokens == tokens);
  RC_ASSERT(end.raw_tokens + end.tail_tokens == tokens);
  RC_ASSERT(begun + end.tail_documents == readable);
  RC_ASSERT(end.records.read == documents.lengths.size() * documents.epochs);
}

TEST(SegmentWindow, GivesEveryTokenOnceAnEpochWhateverTheStops) {
  expect_holds(500, give_every_token_once_an_epoch_whatever_the_stops);
}

TEST(SegmentWindow, GivesEveryTokenOnceAnEpochWhateverTheStopsLong) {
  expect_holds(10'000, give_every_token_once_an_epoch_whatever_the_stops);
}

}  // namespace
}  // namespace millrace
