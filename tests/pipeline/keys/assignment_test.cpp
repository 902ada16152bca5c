// --set: keys of lists of tables, and of files that a file names.
#include "pipeline/keys/assignment.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/keys/config_table.h"
#include "stages/errors.h"
#include "tests/property.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

using testing::HasSubstr;

class SetOption : public testing::Test {
 protected:
  ConfigTable read(const std::vector<std::string>& sets) { return ConfigTable::read(file_, sets); }
  std::string refusal(const std::string& set) {
    try {
      read({set});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "nothing was refused";
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_.write("run.toml", R"(tokens = 1
large = 18446744073709551615
rows = ["a", "b"]
[train]
rate = 1
[[phase]]
until = 5
file = "other.toml"
[[phase]]
until = 9
file = "other.toml"
[[corpus]]
name = "prose"
share = 40
[[corpus]]
name = "1"
share = 25
[[corpus]]
name = "code"
share = 35
[[corpus.part]]
of = 3
)");
  std::filesystem::path other_ = folder_.write("other.toml", "inputs = 64\n[[denoiser]]\nname = \"lm\"\nrate = 0.5\n");
};

TEST_F(SetOption, TakesOneValueAndLosesNone) {
  EXPECT_EQ(read({"tokens=2"}).count("tokens"), 2U);
  EXPECT_THAT(refusal("tokens=2\nseed=9"), HasSubstr("expected one value, found several"));
}

TEST_F(SetOption, ReachesEachTableOfAListByItsNumber) {
  const ConfigTable run = read({"phase.1.until=12", "corpus.2.part.0.of=4"});
  EXPECT_EQ(run.tables("phase")[0].count("until"), 5U);
  EXPECT_EQ(run.tables("phase")[1].count("until"), 12U);
  EXPECT_EQ(run.tables("corpus")[2].tables("part")[0].count("of"), 4U);
}

TEST_F(SetOption, ReachesATableByItsNameUnlessThatIsTheNumberOfAnother) {
  const ConfigTable run = read({"corpus.code.share=1", "corpus.1.share=2"});
  EXPECT_EQ(run.tables("corpus")[2].count("share"), 1U);
  EXPECT_EQ(run.tables("corpus")[1].count("share"), 2U);
}

TEST_F(SetOption, ChangesOneTableAndLeavesTheOthers) {
  constexpr int kTimes = 200;
  expect_holds(kTimes, [this] {
    const auto at = *rc::gen::inRange<std::size_t>(0, 3);
    const auto share = *rc::gen::inRange<std::uint64_t>(0, 1000);
    const std::vector<ConfigTable> before = read({}).tables("corpus");
    const std::vector<ConfigTable> after = read({fmt::format("corpus.{}.share={}", at, share)}).tables("corpus");
    RC_ASSERT(after.size() == before.size());
    for (std::size_t i = 0; i < after.size(); ++i)
      RC_ASSERT(after[i].count("share") == (i == at ? share : before[i].count("share")));
  });
}

TEST_F(SetOption, SaysWhatExistsWhereAListHasNoSuchTable) {
  EXPECT_EQ(refusal("phase.2.until=7"), "--set phase.2.until=7: there is no phase.2: phase has 2 tables, 0 and 1");
  for (const char* part : {"-1", "x", "", "+1", "0x1", "99999999999999999999999"})
    EXPECT_THAT(refusal(fmt::format("phase.{}.until=7", part)), HasSubstr("phase has 2 tables, 0 and 1")) << part;
  EXPECT_THAT(refusal("corpus.3.share=7"), HasSubstr("corpus has 3 tables, 0 to 2 (prose, 1, code)"));
  EXPECT_THAT(refusal("corpus.prosa.share=7"), HasSubstr("(did you mean \"prose\"?)"));
  EXPECT_THAT(refusal("corpus.2.part.7.of=7"), HasSubstr("there is no corpus.2.part.7: corpus.2.part has 1 table, 0"));
}

TEST_F(SetOption, GoesBehindNoListOfValuesAndNoValue) {
  EXPECT_THAT(refusal("phase.0=7"), HasSubstr("expected a key of one of the tables, as in phase.0.KEY=VALUE"));
  EXPECT_THAT(refusal("rows.0.x=7"), HasSubstr("rows is a list of values: give it whole, as in rows=[...]"));
  EXPECT_THAT(refusal("rows.0=7"), HasSubstr("rows is a list of values"));
  EXPECT_THAT(refusal("tokens.x=7"), HasSubstr("tokens is a single value, which has no keys"));
  EXPECT_THAT(refusal("large.x=7"), HasSubstr("large is a single value, which has no keys"));
  EXPECT_THAT(refusal("train.rate.x=7"), HasSubstr("train.rate is a single value, which has no keys"));
}

TEST_F(SetOption, ReachesAFileThatOneTableNamesAndNotTheSameFileOfAnother) {
  const std::vector<ConfigTable> phases =
      read({"phase.0.file.inputs=128", "phase.1.file.denoiser.lm.rate=0.25"}).tables("phase");
  const ConfigTable first = phases[0].file_at("file");
  const ConfigTable second = phases[1].file_at("file");
  EXPECT_EQ(first.count("inputs"), 128U);
  EXPECT_EQ(first.tables("denoiser")[0].number("rate"), 0.5);
  EXPECT_EQ(second.count("inputs"), 64U);
  EXPECT_EQ(second.tables("denoiser")[0].number("rate"), 0.25);
  EXPECT_EQ(first.place_of("inputs"), other_.string() + ", --set");
}

TEST_F(SetOption, ChangesTheFileThatASetNamesWhicheverComesFirst) {
  const std::string third = folder_.write("third.toml", "inputs = 1\ntargets = 2\n").string();
  for (const auto& sets : {std::vector{"phase.0.file=" + third, std::string("phase.0.file.inputs=3")},
                           std::vector{std::string("phase.0.file.inputs=3"), "phase.0.file=" + third}}) {
    const ConfigTable file = read(sets).tables("phase")[0].file_at("file");
    EXPECT_EQ(file.count("inputs"), 3U);
    EXPECT_EQ(file.count("targets"), 2U);
  }
}

TEST_F(SetOption, IsRefusedWithTheWholeKeyInsideAFileToo) {
  const ConfigTable phase = read({"phase.1.file.denoiser.1.rate=1"}).tables("phase")[1];
  try {
    phase.file_at("file");
    ADD_FAILURE() << "nothing was refused";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "--set phase.1.file.denoiser.1.rate=1: there is no phase.1.file.denoiser.1: phase.1.file.denoiser has "
                 "1 table, 0 (lm) (did you mean \"lm\"?)");
  }
}

TEST_F(SetOption, IsRefusedBehindATextThatNamesNoFile) {
  const ConfigTable run = read({"phase.0.file.x=7"});
  const ConfigTable phase = run.tables("phase")[0];
  EXPECT_EQ(phase.text("file"), "other.toml");
  EXPECT_EQ(phase.count("until"), 5U);
  try {
    phase.refuse_unknown_keys();
    ADD_FAILURE() << "nothing was refused";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("[[phase]] file is a single value, which has no keys: --set phase.0.file.x=7"));
  }
}

}  // namespace
}  // namespace millrace
