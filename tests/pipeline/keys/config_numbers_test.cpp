// How numbers of a TOML file are read.
#include <cstdint>
#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "pipeline/keys/config_table.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();

std::string refusal(const auto& reading) {
  try {
    reading();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string refused_count(const std::string& value, WholeRange range = {}) {
  return refusal([&] { ConfigTable::parse("key = " + value, "run.toml").count("key", range); });
}

RC_GTEST_PROP(ConfigNumbers, WholeNumbersComeBackExactlyFromFileAndCommandLine, (std::uint64_t number)) {
  for (const std::uint64_t value : {number, kLargest - number % 1000, (std::uint64_t{1} << 53) + number % 1000}) {
    const std::string text =
        "# \"seed = 99999999999999999999\"\nname = \"9223372036854775808\"\nseed = " + std::to_string(value) + " # x\n";
    const ConfigTable table = ConfigTable::parse(text, "run.toml");
    RC_ASSERT(table.count("seed", WholeRange{.most = kLargest}) == value);
    RC_ASSERT(table.text("name") == "9223372036854775808");
    const TemporaryFolder folder;
    const ConfigTable set =
        ConfigTable::read(folder.write("run.toml", "seed = 1\n"), {"seed=" + std::to_string(value)});
    RC_ASSERT(set.count("seed", WholeRange{.most = kLargest}) == value);
  }
}

TEST(ConfigNumbers, IntegersTakeUnderscoresAndWholeFloats) {
  const auto count = [](const std::string& value) {
    return ConfigTable::parse("key = " + value, "run.toml").count("key", WholeRange{.most = kLargest});
  };
  EXPECT_EQ(count("18_446_744_073_709_551_615"), kLargest);
  EXPECT_EQ(count("9_223_372_036_854_775_807"), kLargest / 2);
  EXPECT_EQ(count("780e9"), 780'000'000'000U);
  EXPECT_EQ(count("0x10"), 16U);
}

TEST(ConfigNumbers, OutsideTheirRangeAreRefusedWithPlaceValueAndRange) {
  EXPECT_THAT(refused_count("-1"), HasSubstr("run.toml:1:1: key is -1, expected a whole number from 0 to "));
  EXPECT_THAT(refused_count("7", {8, 9}), HasSubstr("key is 7, expected a whole number from 8 to 9"));
  EXPECT_THAT(refused_count("2147483648", {.most = 2147483647}), HasSubstr("key is 2147483648, expected"));
  EXPECT_THAT(refused_count("9223372036854775808"), HasSubstr("key is 9223372036854775808, expected"));
  EXPECT_THAT(refused_count("99999999999999999999999", {.most = kLargest}),
              HasSubstr("key is 99999999999999999999999, expected a whole number from 0 to 18446744073709551615"));
  EXPECT_THAT(refused_count("1e19"), HasSubstr("key is 1e+19, expected"));
  EXPECT_THAT(refused_count("1e300"), HasSubstr("key is 1e+300, expected"));
  EXPECT_THAT(refused_count("nan"), HasSubstr("key is nan, expected"));
  EXPECT_THAT(refused_count("inf"), HasSubstr("key is inf, expected"));
  EXPECT_THAT(refused_count("1.5"), HasSubstr("key is 1.5, expected"));
  EXPECT_THAT(refused_count("\"5\""), HasSubstr("key is a text, expected"));
  const auto refused_number = [](const std::string& value, NumberRange range = {}) {
    return refusal([&] { ConfigTable::parse("key = " + value, "run.toml").number("key", range); });
  };
  EXPECT_THAT(refused_number("1e300"), HasSubstr("key is 1e+300, expected a number from"));
  EXPECT_THAT(refused_number("0.5", {1, 2}), HasSubstr("key is 0.5, expected a number from 1 to 2"));
  EXPECT_THAT(refused_number("inf"), HasSubstr("is not finite"));
  EXPECT_EQ(refused_number("9007199254740993"), "");
}

TEST(ConfigNumbers, BeyondTomlsIntegersAreNumbersAndNoTexts) {
  EXPECT_THAT(refusal([] { ConfigTable::parse("key = 18446744073709551615", "run.toml").text("key"); }),
              HasSubstr("key is a number, expected a text"));
  EXPECT_THAT(refusal([] { ConfigTable::parse("key = -9223372036854775809", "run.toml"); }), HasSubstr("run.toml:1:"));
}

TEST(ConfigNumbers, OfTheCommandLineAreComplainedAboutAsSuch) {
  const TemporaryFolder folder;
  const ConfigTable table = ConfigTable::read(folder.write("run.toml", "seed = 1\n"), {"seed=-1"});
  EXPECT_THAT(refusal([&] { table.count("seed"); }), HasSubstr("run.toml, --set: seed is -1"));
}

TEST(ConfigNumbers, SharesTooSmallOrTooLargeToCountAreRefused) {
  const TemporaryFolder folder;
  for (const char* share : {"1e-300", "4e-8", "-1e300", "1e300", "100.0000001", "0", "nan", "inf"}) {
    const auto file = folder.write(
        "mix.toml", std::string("name = \"m\"\n[[corpus]]\nname = \"a\"\nshards = [\"x\"]\nshare = ") + share + "\n");
    EXPECT_THAT(refusal([&] { load_mix(file); }), HasSubstr("mix.toml:5:1: [[corpus]] share is")) << share;
  }
}

TEST(ConfigNumbers, OfMixesAndObjectivesFitWhatTheyBecome) {
  const TemporaryFolder folder;
  const std::string mix = "name = \"m\"\n[[corpus]]\nname = \"a\"\nshards = [\"x\"]\nshare = 100\nmax_epochs = ";
  EXPECT_THAT(refusal([&] { load_mix(folder.write("mix.toml", mix + "1e30\n")); }), HasSubstr("max_epochs is 1e+30"));
  const std::string span = "[[denoiser]]\nname = \"s\"\nshare = 100\nmask_ratio = 0.15\nmean_span = ";
  EXPECT_THAT(refusal([&] { load_objective(folder.write("o.toml", span + "1e300\n")); }),
              HasSubstr("mean_span is 1e+300"));
  EXPECT_THAT(refusal([&] {
                load_objective(
                    folder.write("o.toml", "layout = \"openmoe\"\ninputs = 2147483648\ntargets = 64\n" + span + "3\n"));
              }),
              HasSubstr("inputs is 2147483648, expected a whole number from 2 to 1048576"));
}

}  // namespace
}  // namespace millrace
