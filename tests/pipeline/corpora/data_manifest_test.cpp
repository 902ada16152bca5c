#include "pipeline/corpora/data_manifest.h"

#include <algorithm>
#include <chrono>

#include <gtest/gtest.h>

#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

ShardEntry entry_named(const std::string& path) {
  ShardEntry entry;
  entry.path = path;
  entry.bytes = 1234;
  entry.modified = 1'700'000'000'123'456'789;
  entry.xxh3 = "0123456789abcdef";
  entry.container = "zstd";
  entry.layout = "redpajama";
  entry.records = 3;
  entry.text_bytes = 999;
  entry.rejects = {{"bad_json", 2}, {"truncated", 1}};
  entry.tokens = 77;
  entry.seek_points = {{100, 4'000, 4'100, 17, 16}, {200, 9'000'000, 9'000'050, 44, 40}};
  return entry;
}

class ManifestFile : public testing::Test {
 protected:
  ManifestFile() {
    manifest_.root = folder_.path() / "data";
    manifest_.vocabulary = "fedcba9876543210";
    for (const char* name : {"a/part-2.jsonl", "a/part-10.jsonl", "b.parquet"})
      manifest_.shards.push_back(entry_named(name));
    manifest_.shards.back().tokens.reset();
  }

  DataManifest written_to(const std::string& name) const {
    return read_manifest(
        folder_.write(name, json_table(manifest_json(manifest_, (folder_.path() / name).parent_path()))));
  }
  std::string error_of(const std::string& text) const {
    try {
      read_manifest(folder_.write("m.json", text));
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  }

  TemporaryFolder folder_;
  DataManifest manifest_;
};

TEST_F(ManifestFile, IsReadAsItWasWritten) {
  const DataManifest read = written_to("data/millrace-index.json");
  EXPECT_EQ(read.shards, manifest_.shards);
  EXPECT_EQ(read.root, manifest_.root);
  EXPECT_EQ(read.vocabulary, manifest_.vocabulary);
  EXPECT_EQ(read.layout, "");
  EXPECT_TRUE(read.complete);
  EXPECT_EQ(manifest_of(manifest_.root)->shards, manifest_.shards);
  EXPECT_FALSE(manifest_of(folder_.path()).has_value());
}

TEST_F(ManifestFile, FindsItsRootFromWhereverItStands) {
  for (const char* name : {"m.json", "data/m.json", "data/a/m.json", "elsewhere/m.json"})
    EXPECT_NE(find_entry(written_to(name), manifest_.root / "a/part-10.jsonl"), nullptr) << name;
}

TEST_F(ManifestFile, IsOneLineAShard) {
  const std::string text = json_table(manifest_json(manifest_, folder_.path()));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1 + 3 + 1);
  EXPECT_NE(text.find("[[100,4000,4100,17,16],"), std::string::npos) << text;
}

TEST_F(ManifestFile, KnowsAShardByItsFile) {
  const fs::path untidy = manifest_.root / "b.parquet/../a/./part-2.jsonl";
  ASSERT_NE(find_entry(manifest_, untidy), nullptr);
  EXPECT_EQ(find_entry(manifest_, untidy)->path, "a/part-2.jsonl");
  EXPECT_EQ(find_entry(manifest_, manifest_.root / "a/part-3.jsonl"), nullptr);
  EXPECT_EQ(find_entry(manifest_, folder_.path() / "b.parquet"), nullptr);
}

TEST_F(ManifestFile, IsCurrentWhileSizeAndTimeOfAShardAreAsThen) {
  const fs::path file = folder_.write("data/b.parquet", "PAR1");
  ShardEntry& entry = manifest_.shards.back();
  EXPECT_FALSE(is_current(entry, file));
  entry.bytes = 4;
  entry.modified = state_of(file)->modified;
  EXPECT_TRUE(is_current(entry, file));
  fs::last_write_time(file, fs::last_write_time(file) + std::chrono::seconds(1));
  EXPECT_FALSE(is_current(entry, file));
  EXPECT_FALSE(is_current(entry, file / "gone"));
}

TEST_F(ManifestFile, IsRefusedByNameIfItIsNone) {
  for (const char* text : {"", "{", "[]", "{\"version\":1}", "{\"text\":\"a shard\"}"})
    EXPECT_NE(error_of(text).find("write it anew with millrace index"), std::string::npos) << text;
  EXPECT_NE(error_of("{\"version\":2}").find("version is 2, this program reads 1"), std::string::npos);
}

}  // namespace
}  // namespace millrace
