#include <array>
#include <cmath>
#include <utility>

#include <gtest/gtest.h>

#include "tests/pipeline/mix/mixer_fixture.h"
#include "tests/pipeline/stream/serial_stream.h"
#include "tests/property.h"

namespace millrace {
namespace {

constexpr int kQuickMixes = 100;
constexpr int kLongMixes = 10'000;

/// Corpora of a single document each, from one id to more than an example, repeated in every epoch.
SerialStream::Source one_document_each(std::size_t corpora) {
  return [numbers = std::vector<std::uint64_t>(corpora, 0)](std::size_t corpus) mutable {
    EncodedRecord item;
    const std::uint64_t number = numbers[corpus]++;
    item.place.epoch = number / 2;
    if (number % 2 == 0) {
      item.tokens.assign(1 + 2 * corpus, static_cast<TokenId>(10 + corpus));
    } else {
      item.kind = EncodedRecord::Kind::epoch_end;
    }
    return std::optional(item);
  };
}

void keeps_shares_of_tiny_corpora() {
  const auto count = *rc::gen::inRange<std::size_t>(1, 41);
  const auto separator = *rc::gen::element(Separator::none, Separator::eos);
  ItemRng rng(*rc::gen::arbitrary<std::uint64_t>(), Purpose::span_lengths, 0);
  std::vector<Corpus> corpora;
  for (const ShareUnits share : random_shares(count, rng))
    corpora.push_back(folder_corpus("corpus-" + std::to_string(corpora.size()), share));
  const std::vector<ShareUnits> denoisers = random_shares(3, rng);
  SerialStream stream(config_over("", corpora, three_denoisers(denoisers[0], denoisers[1], separator)),
                      one_document_each(count));
  Counts counts(count, 3);
  for (int example = 0; example < 300; ++example) {
    const std::optional<MixedSegment> ticket = stream.next();
    RC_ASSERT(ticket.has_value());
    counts.add(ticket->origin);
    RC_ASSERT(breach(counts, stream.plan(0)) == "");
  }
}

TEST(Mixer, KeepsCorporaOfOneDocumentAndTheirDenoisersWithinOneExampleAtEveryPrefix) {
  expect_holds(kQuickMixes, keeps_shares_of_tiny_corpora);
}

TEST(Mixer, KeepsCorporaOfOneDocumentAndTheirDenoisersWithinOneExampleAtEveryPrefixLong) {
  expect_holds(kLongMixes, keeps_shares_of_tiny_corpora);
}

TEST(Mixer, KeepsTheSharesOfEachPhaseFromItsOwnBeginning) {
  StreamConfig config = config_over("", {folder_corpus("a", 900'000'000), folder_corpus("b", 100'000'000)},
                                    three_denoisers(300'000'000, 200'000'000));
  config.phases[0].until = 200 * kRowLength;
  config.phases.push_back({400 * kRowLength,
                           {"mix", "mix.toml", {folder_corpus("a", 150'000'000), folder_corpus("b", 850'000'000)}},
                           three_denoisers(100'000'000, 800'000'000, Separator::eos)});
  SerialStream stream(config, one_document_each(2));
  for (std::size_t phase = 0; phase < 2; ++phase) {
    Counts counts(2, 3);
    for (int example = 0; example < 200; ++example) {
      const std::optional<MixedSegment> ticket = stream.next();
      ASSERT_TRUE(ticket.has_value());
      ASSERT_EQ(ticket->origin.phase, phase);
      counts.add(ticket->origin);
      ASSERT_EQ(breach(counts, stream.plan(phase)), "");
    }
  }
  EXPECT_FALSE(stream.next().has_value());
}

/// The quantile of chi-square, for the given degrees of freedom, that corresponds to `normal` standard deviations
/// (Wilson and Hilferty's approximation).
double chi_square_quantile(double degrees, double normal) {
  const double scale = 2 / (9 * degrees);
  return degrees * std::pow(1 - scale + normal * std::sqrt(scale), 3);
}

TEST(Mixer, DrawsCorporaAndDenoisersOfExamplesIndependentlyWithRandomSampling) {
  constexpr int kSeeds = 20;
  constexpr int kExamples = 1000;
  const std::array<double, 4> corpora{0.05, 0.15, 0.3, 0.5};
  const std::array<double, 3> denoisers{0.2, 0.3, 0.5};
  StreamConfig config = config_over("",
                                    {folder_corpus("a", 50'000'000), folder_corpus("b", 150'000'000),
                                     folder_corpus("c", 300'000'000), folder_corpus("d", 500'000'000)},
                                    three_denoisers(200'000'000, 300'000'000));
  config.sampling = Sampling::random;
  double of_corpora = 0;
  double of_both = 0;
  const auto chi_square = [](std::uint64_t count, double expected) {
    const double off = static_cast<double>(count) - expected;
    return off * off / expected;
  };
  for (int seed = 0; seed < kSeeds; ++seed) {
    config.seed = static_cast<std::uint64_t>(seed);
    SerialStream stream(config, one_document_each(corpora.size()));
    Counts counts(corpora.size(), denoisers.size());
    for (int example = 0; example < kExamples; ++example) counts.add(stream.next()->origin);
    for (std::size_t i = 0; i < corpora.size(); ++i) {
      std::uint64_t examples = 0;
      for (std::size_t d = 0; d < denoisers.size(); ++d) {
        examples += counts.examples[i][d];
        of_both += chi_square(counts.examples[i][d], kExamples * corpora[i] * denoisers[d]);
      }
      of_corpora += chi_square(examples, kExamples * corpora[i]);
    }
  }
  // Two-sided, at the 0.1 % level: draws that match the shares better than chance are not random.
  for (const auto& [found, cells] :
       {std::pair(of_corpora, corpora.size()), std::pair(of_both, corpora.size() * denoisers.size())}) {
    const double degrees = kSeeds * (static_cast<double>(cells) - 1);
    EXPECT_LT(found, chi_square_quantile(degrees, 3.29));
    EXPECT_GT(found, chi_square_quantile(degrees, -3.29));
  }
}

}  // namespace
}  // namespace millrace
