#include "pipeline/config/stream_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

constexpr const char* kMix = R"(
name = "two"
[[corpus]]
name = "a"
shards = ["a/*"]
share = 30
[[corpus]]
name = "b"
shards = ["b/*"]
share = 70
)";
constexpr const char* kObjective = R"(
name = "causal"
[[denoiser]]
name = "lm"
kind = "causal"
share = 100
)";
constexpr const char* kRun = R"(name = "small"
seed = 7
vocab = "/vocabulary.model"
sequence_length = 32

[[phase]]
until = 64
mix = "mixes/phase-1.toml"
objective = "objectives/phase-1.toml"

[[phase]]
until = 128
mix = "mixes/phase-2.toml"
objective = "objectives/phase-2.toml"

[data]
holdout = 0.25
)";

class StreamOfARunFile : public testing::Test {
 protected:
  StreamOfARunFile() {
    for (const char* phase : {"1", "2"}) {
      folder_.write(fmt::format("mixes/phase-{}.toml", phase), kMix);
      folder_.write(fmt::format("objectives/phase-{}.toml", phase), kObjective);
    }
  }
  ConfigTable open(const std::string& text) { return ConfigTable::read(folder_.write("run.toml", text)); }

  TemporaryFolder folder_;
};

TEST_F(StreamOfARunFile, IsReadWithItsPhasesMixesAndData) {
  const StreamConfig stream = read_stream(open(kRun));
  EXPECT_EQ(stream.name, "small");
  EXPECT_EQ(stream.seed, 7U);
  EXPECT_EQ(stream.sequence_length, 32);
  ASSERT_EQ(stream.phases.size(), 2U);
  EXPECT_EQ(stream.phases[1].until, 128U);
  EXPECT_EQ(stream.phases[1].mix.corpora[1].name, "b");
  EXPECT_EQ(stream.holdout, 0.25);
}

TEST_F(StreamOfARunFile, LeavesOtherTablesToWhoeverKnowsThem) {
  const ConfigTable run = open(fmt::format("{}\n[model]\npreset = \"debug\"\n", kRun));
  EXPECT_EQ(read_stream(run).name, "small");
  EXPECT_EQ(run.table("model").text("preset"), "debug");
}

TEST_F(StreamOfARunFile, ReadsBackTheSameFromWhatIsWritten) {
  const StreamConfig stream = read_stream(open(kRun));
  TomlWriter first;
  const auto files = write_stream(stream, "/vocabulary.model", first, [](std::size_t) {});
  for (const auto& [name, text] : files) folder_.write("again/" + name, text);
  TomlWriter second;
  EXPECT_EQ(write_stream(read_stream(ConfigTable::read(folder_.write("again/run.toml", first.text()))),
                         "/vocabulary.model", second, [](std::size_t) {}),
            files);
  EXPECT_EQ(second.text(), first.text());
}

TEST_F(StreamOfARunFile, IsRefusedWithoutAPhaseAndWhereAPhaseEndsBeforeTheLast) {
  EXPECT_THROW(read_stream(open("vocab = \"v\"\n")), ConfigError);
  std::string text = kRun;
  EXPECT_THROW(read_stream(open(text.replace(text.find("128"), 3, "64"))), ConfigError);
}

}  // namespace
}  // namespace millrace
