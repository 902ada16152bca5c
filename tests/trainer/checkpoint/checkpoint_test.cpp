#include "trainer/checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/file_text.h"
#include "trainer/checkpoint/checkpoint_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::vector<FileSum> fill(const fs::path& folder) {
  write_text(folder / "a", "some bytes");
  write_text(folder / "b", "others");
  return {};
}

void flip_a_byte(const fs::path& file) {
  std::string text = text_of(file);
  text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
  write_text(file, text);
}

TEST(CheckpointFolder, IsValidOncePublished) {
  const TemporaryFolder folder;
  const fs::path published = publish_checkpoint(folder.path() / "checkpoints", {123, 0}, fill);
  EXPECT_EQ(published.filename(), "step-000123");
  EXPECT_EQ(damage_of(published), "");
}

TEST(CheckpointFolder, NamesTheFileThatIsDamaged) {
  const TemporaryFolder folder;
  const fs::path published = publish_checkpoint(folder.path(), {1, 0}, fill);
  flip_a_byte(published / "b");
  EXPECT_NE(damage_of(published).find("b is damaged"), std::string::npos);
  write_text(published / "b", "short");
  EXPECT_NE(damage_of(published).find("b has 5 bytes, the manifest says 6"), std::string::npos);
  fs::remove(published / "b");
  EXPECT_EQ(damage_of(published), "b is missing");
  write_text(published / "manifest.json", "{\"files\":");
  EXPECT_NE(damage_of(published), "");
}

TEST(CheckpointFolder, PassesOverDamagedOnesAndNamesThem) {
  const TemporaryFolder folder;
  for (const std::uint64_t step : {9u, 10u, 1'000'000u}) publish_checkpoint(folder.path(), {step, 0}, fill);
  flip_a_byte(checkpoint_path(folder.path(), 1'000'000) / "a");
  std::vector<DamagedCheckpoint> damaged;
  EXPECT_EQ(newest_valid_checkpoint(folder.path(), damaged), checkpoint_path(folder.path(), 10));
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0].folder, checkpoint_path(folder.path(), 1'000'000));
  EXPECT_NE(damaged[0].damage.find("a is damaged"), std::string::npos);
}

TEST(CheckpointFolder, SetsDamagedOnesAside) {
  const TemporaryFolder folder;
  for (const std::uint64_t step : {3u, 6u, 9u}) publish_checkpoint(folder.path(), {step, 10 * step}, fill);
  for (int i = 0; i < 2; ++i) {
    publish_checkpoint(folder.path(), {9, 90}, fill);
    flip_a_byte(checkpoint_path(folder.path(), 9) / "a");
    EXPECT_EQ(set_aside(checkpoint_path(folder.path(), 9)), folder.path() / "damaged-step-000009");
  }
  EXPECT_EQ(checkpoint_steps(folder.path()), (std::vector<std::uint64_t>{3, 6}));
  prune_checkpoints(folder.path(), {.last = 2});
  EXPECT_EQ(checkpoint_steps(folder.path()), (std::vector<std::uint64_t>{3, 6})) << "they take no good one's place";
  EXPECT_NE(damage_of(folder.path() / "damaged-step-000009"), "");
}

TEST(CheckpointFolder, DoesNotExistBeforeItIsWhole) {
  const TemporaryFolder folder;
  const auto killed = [](const fs::path& unfinished) -> std::vector<FileSum> {
    fill(unfinished);
    throw std::runtime_error("killed");
  };
  EXPECT_THROW(publish_checkpoint(folder.path(), {5, 0}, killed), std::runtime_error);
  EXPECT_TRUE(checkpoint_steps(folder.path()).empty());
}

TEST(CheckpointFolder, TakesTheSumsOfFilesThatAnotherMachineWroteAndSeesThatTheyAreThere) {
  const TemporaryFolder folder;
  UnfinishedCheckpoint unfinished(folder.path(), {5, 50});
  fill(unfinished.folder());
  const FileSum a = sum_of(unfinished.folder() / "a");
  EXPECT_THROW((void)unfinished.publish({a, {"c", 3, "0123456789abcdef"}}), std::runtime_error);
  EXPECT_THROW((void)unfinished.publish({{"a", a.bytes + 1, a.xxh3}}), std::runtime_error);
  EXPECT_TRUE(checkpoint_steps(folder.path()).empty());
  EXPECT_EQ(damage_of(unfinished.publish({a})), "");
  EXPECT_EQ(damage_of(publish_checkpoint(folder.path(), {6, 60},
                                         [&](const fs::path& other) {
                                           fill(other);
                                           return std::vector<FileSum>{{"a", a.bytes, "0123456789abcdef"}};
                                         })),
            "a is damaged: its checksum is not the manifest's");
}

TEST(CheckpointFolder, RemovesWhatAKilledProcessLeft) {
  const TemporaryFolder folder;
  for (const char* name : {".unfinished-step-000007", ".removed-step-000003"}) {
    fs::create_directories(folder.path() / name);
    fill(folder.path() / name);
  }
  std::vector<DamagedCheckpoint> damaged;
  EXPECT_EQ(newest_valid_checkpoint(folder.path(), damaged), std::nullopt);
  remove_unfinished_checkpoints(folder.path());
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(CheckpointFolder, ReplacesADamagedOneOfTheSameStep) {
  const TemporaryFolder folder;
  const fs::path published = publish_checkpoint(folder.path(), {3, 0}, fill);
  flip_a_byte(published / "a");
  publish_checkpoint(folder.path(), {3, 0}, fill);
  EXPECT_EQ(damage_of(published), "");
}

TEST(CheckpointFolder, KeepsTheNewest) {
  const TemporaryFolder folder;
  for (std::uint64_t step = 1; step <= 5; ++step) publish_checkpoint(folder.path(), {step, 10 * step}, fill);
  prune_checkpoints(folder.path(), {.last = 2});
  EXPECT_EQ(checkpoint_steps(folder.path()), (std::vector<std::uint64_t>{4, 5}));
}

TEST(CheckpointFolder, KeepsForEverTheFirstOneAtOrBehindEachMultiple) {
  const TemporaryFolder folder;
  for (std::uint64_t step = 1; step <= 12; ++step) {
    publish_checkpoint(folder.path(), {step, 10 * step}, fill);
    prune_checkpoints(folder.path(), {.last = 2, .every_tokens = 35});
  }
  EXPECT_EQ(checkpoint_steps(folder.path()), (std::vector<std::uint64_t>{4, 7, 11, 12}));
}

TrainState some_state() {
  TrainState state;
  state.step = 17;
  state.before = {4, 3};
  state.skipped_steps = 5;
  state.bad_in_a_row = 2;
  StreamPosition position;
  position.row = 68;
  position.example = 70;
  position.corpora.emplace_back().corpus = "prose";
  state.position = position;
  state.step_phase = 2;
  state.longest_example = {1023};
  state.first_loss = StepLoss{1, 9.0625};
  state.best_loss = StepLoss{16, 0.1};
  state.last_loss = StepLoss{17, 0.30000000000000004};
  state.evaluated_at = 10;
  state.first_evaluation =
      std::make_shared<const Json>(Json{{"step", 0}, {"eval", {{"prose", nullptr}}}, {"overall", nullptr}});
  state.own_evaluations = {{"a \"name\"\n\x1B", state.first_evaluation, state.first_evaluation}};
  state.times = {1.0 / 3, 0.1, 5e-324, 1e300};
  return state;
}

TEST(TrainState, ReadsBackToTheLastBit) {
  const TrainState state = some_state();
  const RunIdentity identity{"a \"run\" \\ \x7F", "0.1", "0011", "2233", kStreamVersion, "avx2"};
  TrainState read;
  RunIdentity read_identity;
  parse_state_json(JsonValue::parse(json_page(state_json(state, identity)), {"state.json", 0, ""}), read,
                   read_identity);
  EXPECT_EQ(state_json(read, read_identity), state_json(state, identity));
  EXPECT_EQ(read.position, state.position);
  EXPECT_EQ(read.step_phase, state.step_phase);
  EXPECT_EQ(read.own_steps(), 13U);
  EXPECT_EQ(read.updates(), 3U + 13U - 5U);
  EXPECT_EQ(read.last_loss->loss, state.last_loss->loss);
  EXPECT_EQ(read.times.wall, 0);
  parse_clock_json(JsonValue::parse(json_page(clock_json(state)), {"clock.json", 0, ""}), read);
  EXPECT_EQ(read.times.wall, state.times.wall);
  EXPECT_EQ(clock_json(read), clock_json(state));
  EXPECT_EQ(read.own_evaluations.at(0).objective, state.own_evaluations[0].objective);
  EXPECT_EQ(*read.own_evaluations[0].last, *state.own_evaluations[0].last);
  EXPECT_EQ(read.last_evaluation, nullptr);
  EXPECT_EQ(read_identity.name, identity.name);
}

TEST(TrainState, HasNoPositionIfThatIsOfAnotherVersionOfTheStream) {
  const RunIdentity identity{"run", "0.1", "0011", "2233", kStreamVersion - 1, "avx2"};
  Json json = state_json(some_state(), identity);
  json["position"] = {{"row", 17}, {"shard_turn", 3}};  // As another version may have written it.
  TrainState read;
  RunIdentity read_identity;
  parse_state_json(JsonValue::parse(json_page(json), {"state.json", 0, ""}), read, read_identity);
  EXPECT_FALSE(read.position);
  EXPECT_EQ(read.step, some_state().step);
  EXPECT_EQ(read_identity.stream_version, kStreamVersion - 1);
}

TEST(TrainState, OfAnEarlierProgramMadeItsLastStepInThePhaseOfItsPosition) {
  Json json = state_json(some_state(), {"run", "0.1", "0011", "2233", kStreamVersion, "avx2"});
  json.erase("step_phase");
  json["position"]["phase"] = 1;
  TrainState read;
  RunIdentity identity;
  parse_state_json(JsonValue::parse(json_page(json), {"state.json", 0, ""}), read, identity);
  EXPECT_EQ(read.step_phase, 1U);
}

TEST(TrainState, IsWhatTheFuzzersSeedHolds) {
  TrainState state;
  RunIdentity identity;
  parse_state_json(JsonValue::read(fs::path(MILLRACE_SOURCE_DIR) / "tests/fuzz/seeds/json/state"), state, identity);
  EXPECT_EQ(identity.stream_version, kStreamVersion);
  EXPECT_TRUE(state.position);
}

TEST(TrainState, HasNoMoreStepsBeforeTheRunThanAltogether) {
  const RunIdentity identity{"run", "0.1", "0011", "2233", kStreamVersion, "avx2"};
  const auto is_refused = [&](const char* key, const Json& value) {
    Json json = state_json(some_state(), identity);
    json[key] = value;
    const JsonValue read = JsonValue::parse(json_page(json), {"state.json", 0, ""});
    EXPECT_THROW((void)parse_steps(read), ConfigError) << json;
    TrainState state;
    RunIdentity found;
    EXPECT_THROW(parse_state_json(read, state, found), ConfigError) << json;
  };
  is_refused("before", {{"steps", 18}, {"updates", 3}});
  is_refused("before", {{"steps", 4}, {"updates", 5}});
  is_refused("before", {{"steps", 4}});
  is_refused("skipped_steps", 14);
}

TEST(TrainState, NamesTheFileThatIsNone) {
  TrainState state;
  RunIdentity identity;
  try {
    parse_state_json(JsonValue::parse("{\"step\": 3}", {"x/state.json", 0, ""}), state, identity);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("x/state.json"), std::string::npos);
  }
}

}  // namespace
}  // namespace millrace
