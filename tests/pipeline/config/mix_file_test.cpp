#include "pipeline/config/mix_file.h"

#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/config/stream_identity.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/rows/start_position.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

using testing::HasSubstr;

std::string complaint_about(const std::string& toml) {
  const TemporaryFolder folder;
  const auto file = folder.write("mix.toml", toml);
  try {
    load_mix(file);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string corpus(const std::string& name, const std::string& share) {
  return "[[corpus]]\nname = \"" + name + "\"\nshare = " + share + "\nshards = [\"x\"]\n";
}

TEST(MixFile, ReadsTheSharesOfOpenMoesFirstVersionExactly) {
  const Mix mix = load_mix(std::filesystem::path(MILLRACE_SOURCE_DIR) / "mixes/openmoe-v1.toml");
  ASSERT_EQ(mix.corpora.size(), 8U);
  ShareUnits code = 0;
  for (const Corpus& c : mix.corpora) code += c.kind == CorpusKind::code ? c.share : 0;
  EXPECT_EQ(code, 522'500'000U);
}

TEST(MixFile, RefusesAShareOfZeroNamingTheLine) {
  EXPECT_THAT(complaint_about("name = \"m\"\n" + corpus("a", "0")), HasSubstr("mix.toml:4:1: [[corpus]] share is 0"));
  EXPECT_THAT(complaint_about("name = \"m\"\n" + corpus("a", "-3")), HasSubstr("share is -3"));
}

TEST(MixFile, RefusesSharesThatDoNotSumToAHundred) {
  EXPECT_THAT(complaint_about("name = \"m\"\n" + corpus("a", "40") + corpus("b", "50")), HasSubstr("sum to 90 %"));
}

TEST(MixFile, SuggestsTheKeyThatWasMeant) {
  EXPECT_THAT(complaint_about("name = \"m\"\nnormalise = true\n" + corpus("a", "100")),
              HasSubstr("normalise is not a known key (did you mean \"normalize\"?)"));
}

TEST(MixFile, RefusesTwoCorporaOfOneName) {
  EXPECT_THAT(complaint_about("name = \"m\"\n" + corpus("a", "50") + corpus("a", "50")),
              HasSubstr("names two corpora"));
}

TEST(MixFile, RefusesACycleOfExtensions) {
  const TemporaryFolder folder;
  folder.write("a.toml", "name = \"a\"\nextend = \"b.toml\"\n");
  folder.write("b.toml", "name = \"b\"\nextend = \"a.toml\"\n");
  EXPECT_THROW(load_mix(folder.path() / "a.toml"), ConfigError);
}

TEST(MixFile, NormalizesWhatIsLeftAfterARemovalToExactlyTheWhole) {
  const TemporaryFolder folder;
  folder.write("v1.toml",
               "name = \"v1\"\n" + corpus("a", "30") + corpus("b", "30") + corpus("c", "10") + corpus("d", "30"));
  folder.write("ablation.toml", "name = \"x\"\nextend = \"v1.toml\"\nremove = [\"c\"]\nnormalize = true\n");
  const Mix mix = load_mix(folder.path() / "ablation.toml");
  ASSERT_EQ(mix.corpora.size(), 3U);
  EXPECT_EQ(mix.corpora[0].share, 333'333'334U);
  EXPECT_EQ(mix.corpora[0].share + mix.corpora[1].share + mix.corpora[2].share, kShareUnits);
}

TEST(MixFile, WritesAMixThatReadsTheSame) {
  const TemporaryFolder folder;
  const Mix mix = load_mix(std::filesystem::path(MILLRACE_SOURCE_DIR) / "mixes/openmoe-v1.toml");
  const Mix again = load_mix(folder.write("again.toml", to_toml(mix)));
  EXPECT_EQ(to_toml(again), to_toml(mix));
}

TEST(MixFile, StatesLicencesWhichAreNoPartOfWhatDecidesRows) {
  const std::string corpus = "[[corpus]]\nname = \"a\"\nshare = 100\nshards = [\"x\"]\n";
  const Mix plain = mix_from_toml("name = \"m\"\n" + corpus, "plain");
  const Mix licensed = mix_from_toml("name = \"m\"\n" + corpus + "license = \"CC0-1.0\"\n", "licensed");
  EXPECT_EQ(licensed.corpora[0].license, "CC0-1.0");
  EXPECT_THAT(to_toml(licensed), HasSubstr("license = \"CC0-1.0\""));
  EXPECT_EQ(to_toml_of_rows(licensed), to_toml(plain));
  StreamConfig runs[2];
  for (Phase* phase : {&runs[0].phases.emplace_back(), &runs[1].phases.emplace_back()}) phase->mix = plain;
  runs[1].phases[0].mix = licensed;
  EXPECT_EQ(hash_of(identity_of(runs[0])), hash_of(identity_of(runs[1])));
  const std::vector<ConfigDifference> found = phase_differences(runs[0].phases[0], runs[1].phases[0], 0);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].key, "phase.0.mix.corpus.a.license");
  EXPECT_TRUE(is_only_a_name(found[0]));
}

std::string group(const std::string& name, const std::string& share, const std::string& members) {
  return "[[group]]\nname = \"" + name + "\"\nshare = " + share + "\n" + members;
}
std::string member(const std::string& name, const std::string& share) {
  return "[[group.corpus]]\nname = \"" + name + "\"\nshare = " + share + "\nshards = [\"x\"]\n";
}

TEST(MixFile, GivesAGroupsMembersTheirSharesOfItsShare) {
  const TemporaryFolder folder;
  const Mix mix = load_mix(folder.write(
      "mix.toml", "name = \"m\"\n" + corpus("stack", "50") +
                      group("redpajama", "50", member("c4", "15") + member("wiki", "4.5") + member("cc", "80.5"))));
  std::map<std::string, ShareUnits> shares;
  for (const Corpus& c : mix.corpora) shares[c.name] = c.share;
  EXPECT_EQ(shares, (std::map<std::string, ShareUnits>{
                        {"stack", 500'000'000}, {"c4", 75'000'000}, {"wiki", 22'500'000}, {"cc", 402'500'000}}));
}

TEST(MixFile, LosesNothingToRoundingInGroupsWithinGroups) {
  const TemporaryFolder folder;
  const std::string thirds = "normalize = true\n" + member("a", "1") + member("b", "1") + member("c", "1") +
                             "[[group.group]]\nname = \"inner\"\nshare = 1\nnormalize = true\n"
                             "[[group.group.corpus]]\nname = \"d\"\nshare = 1\nshards = [\"x\"]\n"
                             "[[group.group.corpus]]\nname = \"e\"\nshare = 2\nshards = [\"x\"]\n";
  const Mix mix =
      load_mix(folder.write("mix.toml", "name = \"m\"\n" + corpus("z", "33.3") + group("g", "66.7", thirds)));
  ShareUnits sum = 0;
  for (const Corpus& c : mix.corpora) sum += c.share;
  EXPECT_EQ(mix.corpora.size(), 6U);
  EXPECT_EQ(sum, kShareUnits);
}

TEST(MixFile, NamesTheGroupWhoseSharesDoNotSumToAHundred) {
  const std::string head = "name = \"m\"\n" + corpus("z", "50");
  EXPECT_THAT(complaint_about(head + group("g", "50", member("a", "60") + member("b", "30"))),
              HasSubstr("[[group]] corpus shares sum to 90 %"));
  EXPECT_THAT(complaint_about(head + group("g", "50", member("z", "100"))), HasSubstr("\"z\" names two"));
  EXPECT_THAT(complaint_about(head + group("g", "50", "")), HasSubstr("a group needs at least one"));
}

TEST(MixFile, RemovesAGroupByItsName) {
  const TemporaryFolder folder;
  folder.write("base.toml",
               "name = \"m\"\n" + corpus("z", "50") + group("g", "50", member("a", "60") + member("b", "40")));
  const Mix mix =
      load_mix(folder.write("mix.toml", "name = \"n\"\nextend = \"base.toml\"\nremove = [\"g\"]\nnormalize = true\n"));
  ASSERT_EQ(mix.corpora.size(), 1U);
  EXPECT_EQ(mix.corpora[0].share, kShareUnits);
}

TEST(MixFile, NamesLineAndColumnOfACycle) {
  const TemporaryFolder folder;
  folder.write("b.toml", "name = \"b\"\nextend = \"a.toml\"\n");
  const auto a = folder.write("a.toml", "name = \"a\"\nextend = \"b.toml\"\n");
  try {
    load_mix(a);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("b.toml:2:1: extend names"));
    EXPECT_THAT(error.what(), HasSubstr("a cycle"));
  }
}

TEST(MixFile, OfTheAblationWithoutCodeKeepsGitHub) {
  const Mix mix = load_mix(std::filesystem::path(MILLRACE_SOURCE_DIR) / "mixes/openmoe-v1-without-stack.toml");
  ASSERT_EQ(mix.corpora.size(), 7U);
  const auto github = std::ranges::find(mix.corpora, "github", &Corpus::name);
  ASSERT_NE(github, mix.corpora.end());
  EXPECT_EQ(github->share, 45'000'000U);
}

TEST(MixFile, ReadsWhichRecordsToKeepAndToDrop) {
  const TemporaryFolder folder;
  const Mix mix = load_mix(folder.write("mix.toml", "name = \"m\"\n" + corpus("a", "100") +
                                                        "keep = { lang = [\"en\", \"de\"], meta.year = 2023 }\n"
                                                        "drop = { \"meta.source\" = \"arxiv\" }\n"
                                                        "where = \"size < 5\"\n"));
  const RecordFilter& filter = mix.corpora.at(0).filter;
  EXPECT_EQ(filter.keep, (std::vector<FieldRule>{{"lang", {"en", "de"}}, {"meta.year", {"2023"}}}));
  EXPECT_EQ(filter.drop, (std::vector<FieldRule>{{"meta.source", {"arxiv"}}}));
  EXPECT_EQ(filter.where, "size < 5");
  const Mix again = load_mix(folder.write("again.toml", to_toml(mix)));
  EXPECT_EQ(again.corpora.at(0).filter, filter);
}

TEST(MixFile, RefusesRulesAndLayoutsThatMeanNothing) {
  const std::string head = "name = \"m\"\n" + corpus("a", "100");
  EXPECT_THAT(complaint_about(head + "keep = { lang = [] }\n"), HasSubstr("lang is an empty list"));
  EXPECT_THAT(complaint_about(head + "keep = { lang = [1.5] }\n"), HasSubstr("lang holds a number"));
  EXPECT_THAT(complaint_about(head + "layout = \"redpyjama\"\n"),
              HasSubstr("mix.toml:6:1: [[corpus]] layout is unknown"));
  EXPECT_THAT(complaint_about(head + "layout = \"custom\"\n"), HasSubstr("needs text_field"));
  EXPECT_THAT(complaint_about(head + "layout = \"text\"\ntext_field = \"x\"\n"),
              HasSubstr("text_field is not possible"));
}

TEST(ConfigTable, TakesValuesFromTheCommandLineBeforeTheFiles) {
  const TemporaryFolder folder;
  const auto file = folder.write("run.toml", "seed = 1\n[train]\ntokens = 5\n");
  const ConfigTable table = ConfigTable::read(file, {"train.tokens=780e9", "name=my-run"});
  EXPECT_EQ(table.table("train").count("tokens"), 780'000'000'000U);
  EXPECT_EQ(table.text("name"), "my-run");
}

TEST(ConfigTable, NamesLineAndColumnOfWhatIsNoToml) {
  const TemporaryFolder folder;
  const auto file = folder.write("run.toml", "seed = 1\nname = \n");
  try {
    ConfigTable::read(file);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("run.toml:2:"));
  }
}

}  // namespace
}  // namespace millrace
