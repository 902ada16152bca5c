#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "pipeline/keys/config_difference.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/keys/toml_writer.h"
#include "stages/errors.h"
#include "tests/property.h"
#include "tests/temporary_folder.h"
#include "tests/utf8_text.h"

namespace millrace {
namespace {

constexpr int kCases = 300;

std::vector<std::string> texts_of(const std::string& then, const std::string& now, const std::string& prefix = "") {
  std::vector<std::string> texts;
  for (const ConfigDifference& one : differences(then, now, prefix)) texts.push_back(one.text());
  return texts;
}

TEST(QuotedText, ComesBackTheSameWhateverIsInIt) {
  expect_holds(kCases, [] {
    const std::string text = *rc::gen::oneOf(utf8_text(), rc::gen::just(std::string("\x01") + "1"));
    RC_ASSERT(ConfigTable::parse("key = " + quoted(text) + "\n", "file").text("key") == text);
    const std::string as_key = fmt::format("{} = {}\n", quoted(text), quoted(text));
    RC_ASSERT(ConfigTable::parse(as_key, "file").text(text) == text);
  });
}

TEST(QuotedText, IsRefusedWhereTomlCannotHoldIt) {
  EXPECT_THROW(quoted("caf\xE9"), ConfigError);
}

TEST(MixText, ComesBackTheSameWhateverIsInIt) {
  expect_holds(kCases, [] {
    Mix mix;
    mix.name = *utf8_text();
    Corpus& corpus = mix.corpora.emplace_back();
    corpus.name = "A-1+b_c.d";
    corpus.license = *utf8_text();
    corpus.share = kShareUnits;
    corpus.patterns = {*utf8_text(), *utf8_text()};
    corpus.text_field = *rc::gen::suchThat(utf8_text(), [](const std::string& text) { return !text.empty(); });
    corpus.layout = "custom";
    corpus.filter.keep = {{*utf8_text(), {*utf8_text(), *utf8_text()}}};
    corpus.filter.drop = {{*utf8_text(), {*utf8_text()}}};
    const Mix again = mix_from_toml(to_toml(mix), "mix");
    RC_ASSERT(again.name == mix.name);
    RC_ASSERT(again.corpora.at(0).patterns == corpus.patterns);
    RC_ASSERT(again.corpora.at(0).license == corpus.license);
    RC_ASSERT(again.corpora.at(0).text_field == corpus.text_field);
    RC_ASSERT(again.corpora.at(0).filter == corpus.filter);
    RC_ASSERT(to_toml(again) == to_toml(mix));
  });
}

TEST(ObjectiveText, ComesBackTheSameWhateverIsInIt) {
  expect_holds(kCases, [] {
    Objective objective;
    objective.name = "objective " + *utf8_text();
    objective.denoisers = {{*utf8_text(), DenoiserKind::span, 1.0, 3, 0.15, *utf8_text()}};
    const Objective again = objective_from_toml(to_toml(objective), "objective");
    RC_ASSERT(again.name == objective.name);
    RC_ASSERT(again.denoisers.at(0).name == objective.denoisers[0].name);
    RC_ASSERT(again.denoisers.at(0).prompt == objective.denoisers[0].prompt);
    RC_ASSERT(to_toml(again) == to_toml(objective));
  });
}

TEST(Differences, AreShownByDottedKey) {
  EXPECT_THAT(texts_of("[train]\nlearning_rate = 0.001\ntokens = 5\n", "[train]\nlearning_rate = 0.002\ntokens = 5\n"),
              testing::ElementsAre("train.learning_rate 0.001 -> 0.002"));
  EXPECT_THAT(texts_of("a = 1\nb = \"x\"\n", "b = \"y\"\nc = [1, 2]\n"),
              testing::ElementsAre("a 1 -> (unset)", "b \"x\" -> \"y\"", "c (unset) -> [1, 2]"));
  EXPECT_THAT(texts_of("keep = {\"meta.source\" = [\"a\"]}\n", "keep = {\"meta.source\" = [\"b\"]}\n", "phase.0.mix"),
              testing::ElementsAre("phase.0.mix.keep.\"meta.source\" [\"a\"] -> [\"b\"]"));
}

TEST(Differences, KnowNumbersBeyondTomls) {
  EXPECT_THAT(texts_of("seed = 18446744073709551615\n", "seed = 9223372036854775808\n"),
              testing::ElementsAre("seed 18446744073709551615 -> 9223372036854775808"));
}

TEST(Differences, AreNoneWhereTheWordsAreOthersAndTheMeaningIsNot) {
  EXPECT_THAT(texts_of("b = 1  # one\na = 'x'\n", "a = \"x\"\nb = 1\n"), testing::IsEmpty());
}

TEST(Differences, TellTablesOfAListApartByTheirNames) {
  const std::string prose = "[[corpus]]\nname = \"prose\"\nshare = 70\n";
  const std::string code = "[[corpus]]\nname = \"code\"\nshare = 30\n";
  const std::string more_code = "[[corpus]]\nname = \"code\"\nshare = 60\n";
  EXPECT_THAT(texts_of(prose + code, prose + more_code), testing::ElementsAre("corpus.code.share 30 -> 60"));
  EXPECT_THAT(texts_of(prose + code, code + prose),
              testing::ElementsAre("corpus [\"prose\", \"code\"] -> [\"code\", \"prose\"]"));
  EXPECT_THAT(texts_of(prose, prose + code), testing::ElementsAre("corpus [\"prose\"] -> [\"prose\", \"code\"]"));
}

TEST(Differences, TellNamelessTablesOfAListApartByTheirNumbers) {
  EXPECT_THAT(texts_of("[[phase]]\nuntil = 5\n", "[[phase]]\nuntil = 6\n[[phase]]\nuntil = 9\n"),
              testing::ElementsAre("phase.0.until 5 -> 6", "phase.1.until (unset) -> 9"));
}

}  // namespace
}  // namespace millrace
