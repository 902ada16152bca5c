#include "trainer/run/run_folder.h"

#include <memory>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/file_text.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class RunFolderTest : public testing::Test {
 protected:
  RunFolderTest() { write_text(vocabulary_, "a vocabulary"); }

  std::unique_ptr<RunFolder> open(const RunFiles& texts, RunFolder::Options options = {},
                                  const std::string& vocabulary_hash = "1") {
    return std::make_unique<RunFolder>(path_, texts, vocabulary_, vocabulary_hash, options);
  }
  std::string error_of(const RunFiles& texts, RunFolder::Options options, const std::string& vocabulary_hash = "1") {
    try {
      open(texts, options, vocabulary_hash);
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  }

  TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "runs" / "a";
  fs::path vocabulary_ = folder_.path() / "v.model";
  RunFiles texts_{{"mixes/phase-1.toml", "share = 1\n"}, {"run.toml", "seed = 1\nname = \"a\"\n"}};
};

TEST_F(RunFolderTest, IsCompleteInItself) {
  open(texts_);
  EXPECT_EQ(text_of(path_ / "run.toml"), texts_[1].second);
  EXPECT_EQ(text_of(path_ / "mixes/phase-1.toml"), texts_[0].second);
  EXPECT_EQ(text_of(path_ / "vocab.model"), "a vocabulary");
  EXPECT_EQ(vocabulary_beside(path_ / "checkpoints" / "step-000001" / ""), path_ / "vocab.model");
}

TEST_F(RunFolderTest, IsNotOverwritten) {
  open(texts_);
  EXPECT_NE(error_of(texts_, {}).find("--resume"), std::string::npos);
  EXPECT_EQ(error_of(texts_, {.resume = true}), "");
}

TEST_F(RunFolderTest, ShowsWhatChangedAndGoesOnOnlyIfAsked) {
  open(texts_);
  RunFiles changed = texts_;
  changed[1].second = "seed = 2\nname = \"a\"\n";
  const auto changes = [] { return RunFolder::Changes{{"seed 1 -> 2"}, {"name \"a\" -> \"b\""}}; };
  const std::string error = error_of(changed, {.resume = true, .changes = changes});
  EXPECT_NE(error.find("\n  seed 1 -> 2\n"), std::string::npos) << error;
  EXPECT_EQ(error.find("name"), std::string::npos) << error;
  {
    const auto folder = open(changed, {.resume = true, .accept_changes = true, .changes = changes, .shards = "b"});
    EXPECT_EQ(folder->changes().asked.size(), 1U);
    EXPECT_EQ(text_of(path_ / "run.toml"), texts_[1].second) << "not before somebody says so";
    EXPECT_EQ(text_of(shards_file(path_)), "");
    folder->keep_changes(changed, "b", 40);
    EXPECT_EQ(text_of(path_ / "run.toml"), changed[1].second);
    EXPECT_EQ(text_of(shards_file(path_)), "b");
  }
  const nlohmann::json line = nlohmann::json::parse(text_of(path_ / "changes.jsonl"));
  EXPECT_EQ(line.at("step"), 40);
  EXPECT_EQ(line.at("changes"), nlohmann::json::array({"seed 1 -> 2"}));
  EXPECT_EQ(line.at("free"), nlohmann::json::array({"name \"a\" -> \"b\""}));
  EXPECT_EQ(line.at("time").get<std::string>().size(), 20U);
}

TEST_F(RunFolderTest, GoesOnWithFreeChangesAndKeepsThem) {
  open(texts_);
  RunFiles changed = texts_;
  changed[1].second = "seed = 1\nname = \"b\"\n";
  {
    const auto folder = open(changed, {.resume = true, .changes = [] {
                                         return RunFolder::Changes{{}, {"name \"a\" -> \"b\""}};
                                       }});
    folder->keep_changes(changed, "", 40);
  }
  EXPECT_EQ(text_of(path_ / "run.toml"), changed[1].second);
  const nlohmann::json line = nlohmann::json::parse(text_of(path_ / "changes.jsonl"));
  EXPECT_EQ(line.at("step"), 40);
  EXPECT_EQ(line.at("changes"), nlohmann::json::array());
  EXPECT_EQ(line.at("free"), nlohmann::json::array({"name \"a\" -> \"b\""}));
}

TEST_F(RunFolderTest, IsMadeWhereALinkLeads) {
  fs::create_directory(folder_.path() / "runs");
  fs::create_symlink("elsewhere", path_);
  open(texts_);
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(text_of(folder_.path() / "runs/elsewhere/run.toml"), texts_[1].second);
}

TEST_F(RunFolderTest, RefusesAnotherVocabulary) {
  open(texts_);
  EXPECT_NE(error_of(texts_, {.resume = true, .accept_changes = true}, "2").find("another vocabulary"),
            std::string::npos);
}

TEST_F(RunFolderTest, IsHeldByOneProcessAtATime) {
  const auto holder = open(texts_);
  EXPECT_NE(error_of(texts_, {.resume = true}).find("another process"), std::string::npos);
}

TEST_F(RunFolderTest, IsBegunAgainIfTheFirstProcessDiedBeforeItsRunFile) {
  open(texts_);
  fs::remove(path_ / "run.toml");
  write_text(path_ / ".millrace-1-0.tmp", "half");
  write_text(path_ / "notes.tmp", "somebody's");
  EXPECT_EQ(error_of(texts_, {.resume = true}), "");
  EXPECT_FALSE(fs::exists(path_ / ".millrace-1-0.tmp"));
  EXPECT_TRUE(fs::exists(path_ / "notes.tmp"));
}

TEST_F(RunFolderTest, KeepsWhatIsRememberedOfTheShards) {
  EXPECT_FALSE(holds_run(path_));
  open(texts_, {.shards = "{\"shard\":\"a\"}\n"});
  EXPECT_TRUE(holds_run(path_));
  EXPECT_EQ(text_of(shards_file(path_)), "{\"shard\":\"a\"}\n");
  open(texts_, {.resume = true, .shards = "{\"shard\":\"a\"}\n{\"shard\":\"b\"}\n"});
  EXPECT_EQ(text_of(shards_file(path_)), "{\"shard\":\"a\"}\n{\"shard\":\"b\"}\n");
}

TEST_F(RunFolderTest, KeepsWhatItRemembersWhenARunIsRefused) {
  open(texts_, {.shards = "a"});
  EXPECT_NE(error_of(texts_, {.resume = true, .shards = "b"}, "2"), "");
  EXPECT_EQ(text_of(shards_file(path_)), "a");
}

TEST_F(RunFolderTest, SaysThatItCannotBeMade) {
  write_text(folder_.path() / "runs", "a file in the way");
  EXPECT_NE(error_of(texts_, {}).find("cannot create it"), std::string::npos);
}

}  // namespace
}  // namespace millrace
