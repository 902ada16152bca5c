#include "pipeline/corpora/shard_fingerprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/corpora/data_manifest.h"
#include "pipeline/corpora/shard_index.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kSample = 128 << 10;

/// A corpus of three short shards in a data directory.
class Fingerprints : public testing::Test {
 protected:
  Fingerprints() {
    config_.data_directory = folder_.path().string();
    for (const char* name : {"a.jsonl", "b.jsonl", "c.jsonl"}) {
      folder_.write(name, std::string("{\"text\":\"") + name + "\"}\n");
      corpus_.shards.emplace_back(name);
    }
    corpus_.corpus.name = "web";
  }

  std::vector<ShardFingerprint> take(const std::vector<ShardFingerprint>& recorded = {}) const {
    return fingerprints_of(config_, {corpus_}, recorded);
  }
  std::vector<std::string> differences_now(const std::vector<ShardFingerprint>& recorded) const {
    return differences(recorded, take(recorded));
  }
  /// The file's hash with one byte of `bytes` flipped.
  std::string hash_with_flip(std::string bytes, std::size_t at) const {
    bytes[at] ^= 1;
    return fingerprint_of(folder_.write("flipped", bytes), kSample).hash;
  }

  TemporaryFolder folder_;
  StreamConfig config_;
  RunCorpus corpus_;
};

TEST_F(Fingerprints, AgreeWhileNothingChanges) {
  const std::vector<ShardFingerprint> recorded = take();
  EXPECT_EQ(take(recorded), recorded);
  EXPECT_THAT(differences_now(recorded), IsEmpty());
}

TEST_F(Fingerprints, NoticeAnyByteOfAShardNoLongerThanItsSample) {
  const std::string bytes(kSample, 'x');
  const ShardFingerprint whole = fingerprint_of(folder_.write("whole", bytes), kSample);
  EXPECT_EQ(whole.sampled_bytes, kSample);
  for (const std::size_t at : {std::size_t{0}, std::size_t{kSample / 2 + 1}, std::size_t{kSample - 1}})
    EXPECT_NE(hash_with_flip(bytes, at), whole.hash) << at;
}

TEST_F(Fingerprints, SampleBeginningEndAndBlocksBetweenOfALongerShard) {
  const std::string bytes(10 * kSample + 123, 'x');
  const ShardFingerprint sampled = fingerprint_of(folder_.write("long", bytes), kSample);
  EXPECT_EQ(sampled.bytes, bytes.size());
  EXPECT_EQ(sampled.sampled_bytes, kSample);
  const std::size_t quarter = kSample / 4;
  std::size_t noticed = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 4096) noticed += hash_with_flip(bytes, at) != sampled.hash ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(noticed), kSample / 4096, 2);
  for (const std::size_t at : {std::size_t{0}, quarter - 1, quarter, bytes.size() - quarter, bytes.size() - 1})
    EXPECT_NE(hash_with_flip(bytes, at), sampled.hash) << at;
}

TEST_F(Fingerprints, NoticeTheSizeOfALongShard) {
  const std::string bytes(10 * kSample, 'x');
  const std::string hash = fingerprint_of(folder_.write("long", bytes), kSample).hash;
  EXPECT_NE(fingerprint_of(folder_.write("longer", bytes + "x"), kSample).hash, hash);
}

TEST(SampleSize, IsAGibibyteOverAllButAtLeast128KibibytesEach) {
  EXPECT_EQ(sample_size(1), 1U << 30);
  EXPECT_EQ(sample_size(1000) % (16 << 10), 0U);
  EXPECT_NEAR(static_cast<double>(sample_size(1000)), (1 << 30) / 1000.0, 16 << 10);
  EXPECT_EQ(sample_size(1'000'000), kSample);
}

TEST_F(Fingerprints, ReadAsMuchAsWasRecorded) {
  std::vector<ShardFingerprint> recorded = take();
  const std::string path = folder_.write("a.jsonl", std::string(10 * kSample, 'x'));
  recorded[0] = fingerprint_of(path, kSample);
  recorded[0].corpus = "web";
  recorded[0].shard = "a.jsonl";
  EXPECT_THAT(differences_now(recorded), IsEmpty());
}

TEST_F(Fingerprints, NameWhatChangedAndHow) {
  const std::vector<ShardFingerprint> recorded = take();
  folder_.write("a.jsonl", "{\"text\":\"A.jsonl\"}\n");
  folder_.write("c.jsonl", "{}\n");
  EXPECT_THAT(differences_now(recorded),
              ElementsAre("corpus \"web\": a.jsonl: changed: 19 bytes as then, but not the same",
                          "corpus \"web\": c.jsonl: changed: 19 bytes then, 3 now"));
}

TEST_F(Fingerprints, NameWhatIsMissingAndWhatIsExtra) {
  const std::vector<ShardFingerprint> recorded = take();
  std::filesystem::rename(folder_.path() / "b.jsonl", folder_.path() / "d.jsonl");
  corpus_.shards = {"a.jsonl", "c.jsonl", "d.jsonl"};
  EXPECT_THAT(differences_now(recorded),
              ElementsAre("corpus \"web\": b.jsonl: missing", "corpus \"web\": d.jsonl: extra: it was not there then"));
}

TEST_F(Fingerprints, OfCorporaThatOnlyOneSideKnowsAreNoDifference) {
  const std::vector<ShardFingerprint> recorded = take();
  corpus_.corpus.name = "books";
  const std::vector<ShardFingerprint> now = take(recorded);
  EXPECT_THAT(differences(recorded, now), IsEmpty());
  EXPECT_EQ(with_new_corpora(recorded, now).size(), 6U);
  EXPECT_EQ(with_new_corpora(now, now), now);
}

TEST_F(Fingerprints, HoldTheWholeHashWhereTheManifestIsCurrent) {
  const ShardIndex index = build_index(folder_.path(), corpus_.shards, {}, 1, nullptr, {});
  folder_.write(kManifestName, json_table(manifest_json(index.manifest, folder_.path())));
  folder_.write("b.jsonl", "{}\n");
  const std::vector<ShardFingerprint> taken = take();
  EXPECT_EQ(taken[0].xxh3, index.manifest.shards[0].xxh3);
  EXPECT_EQ(taken[1].xxh3, "");
}

TEST_F(Fingerprints, DifferIfTheWholeHashesDo) {
  std::vector<ShardFingerprint> recorded = take();
  std::vector<ShardFingerprint> now = recorded;
  recorded[1].xxh3 = "0000000000000001";
  EXPECT_THAT(differences(recorded, now), IsEmpty());
  now[1].xxh3 = "0000000000000002";
  EXPECT_EQ(differences(recorded, now).size(), 1U);
}

TEST_F(Fingerprints, RefuseAShardThatCannotBeRead) {
  std::filesystem::remove(folder_.path() / "b.jsonl");
  try {
    take();
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("b.jsonl"), std::string::npos) << error.what();
  }
}

TEST_F(Fingerprints, NameShardsThatVanishedFromCorporaOfTheRun) {
  config_.phases.resize(1);
  config_.phases[0].mix.corpora.push_back(corpus_.corpus);
  std::vector<ShardFingerprint> recorded = take();
  recorded.push_back({"dropped", "gone.jsonl", 1, 1, "", ""});
  std::filesystem::remove(folder_.path() / "c.jsonl");
  EXPECT_THAT(vanished(recorded, config_), ElementsAre("corpus \"web\": c.jsonl: missing"));
}

TEST_F(Fingerprints, AreReadAsTheyWereWritten) {
  std::vector<ShardFingerprint> recorded = take();
  recorded[1].xxh3 = "0123456789abcdef";
  EXPECT_EQ(fingerprints_from_jsonl(to_jsonl(recorded), "shards.jsonl"), recorded);
  try {
    fingerprints_from_jsonl(to_jsonl(recorded) + "{\"corpus\":", "shards.jsonl");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("shards.jsonl:4"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace millrace
