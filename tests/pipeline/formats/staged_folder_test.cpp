#include "pipeline/formats/staged_folder.h"

#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <malloc.h>

#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const Json kIdentity{{"a", 1}};
const Json kManifest{{"identity", kIdentity}};

class Staging : public testing::Test {
 protected:
  fs::path out() const { return folder_.path() / "out"; }
  fs::path staged(const std::string& name) const { return out() / ".unfinished" / name; }
  static std::string text(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  TemporaryFolder folder_;
};

TEST_F(Staging, GoesOnFromTheLastSaveAndForgetsWhatCameBehind) {
  {
    StagedFolder folder(out(), kIdentity);
    EXPECT_FALSE(folder.state());
    folder.append("f/a", "one ");
    folder.save({1});
    folder.append("f/a", "lost ");
    folder.append("b", "lost");
    folder.close("f/a");
    folder.close("b");
  }
  EXPECT_EQ(text(staged("f/a")), "one lost ");
  StagedFolder folder(out(), kIdentity);
  EXPECT_EQ(json_line(folder.state()->json()), "[1]");
  EXPECT_FALSE(folder.has("b"));
  EXPECT_FALSE(fs::exists(staged("b")));
  EXPECT_EQ(folder.size("f/a"), 4U);
  folder.append("f/a", "two");
  folder.publish(kManifest);
  EXPECT_EQ(text(out() / "f/a"), "one two");
  EXPECT_FALSE(fs::exists(out() / ".unfinished"));
  EXPECT_TRUE(StagedFolder::inspect(out())->complete);
}

TEST_F(Staging, SumsAreTheSameWithAndWithoutAStopAcrossBlocks) {
  const std::string piece(BlockChecksums::kBlock * 2 / 3, 'p');
  std::map<std::string, BlockChecksums> sums[2];
  for (const bool stops : {false, true}) {
    fs::remove_all(out());
    auto folder = std::make_unique<StagedFolder>(out(), kIdentity);
    for (int i = 0; i < 5; ++i) {
      folder->append("a", piece);
      folder->save(Json::array());
      if (!stops) continue;
      folder.reset();
      folder = std::make_unique<StagedFolder>(out(), kIdentity);
    }
    sums[stops] = folder->sums();
    folder->publish(kManifest);
    EXPECT_TRUE(damage_of_file(out() / "a", sums[stops].at("a")).empty());
  }
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[0].at("a").blocks.size(), 4U);
}

TEST_F(Staging, HoldsNothingOfFilesThatAreClosed) {
  const auto allocated = [] {
    const struct mallinfo2 info = mallinfo2();
    return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
  };
  const std::string part(8 << 20, 'p');
  StagedFolder folder(out(), kIdentity);
  const std::int64_t before = allocated();
  for (const char* name : {"a", "b", "c"}) {
    folder.append(name, part.data(), 1000);
    folder.append(name, part);
    folder.append(name, part.data(), 1000);
    folder.close(name);
  }
  EXPECT_LT(allocated() - before, 100'000);
  EXPECT_EQ(folder.size("c"), part.size() + 2000);
}

TEST_F(Staging, AKillWhileFilesAreMovedIntoPlaceIsMadeGood) {
  {
    StagedFolder folder(out(), kIdentity);
    folder.append("a", "a");
    folder.append("b", "b");
    folder.save({1});
  }
  // The state after publish() was killed after its first file.
  std::ofstream(staged(kOutputManifest)) << json_line(kManifest);
  fs::rename(staged("b"), out() / "b");
  EXPECT_TRUE(StagedFolder::inspect(out())->complete);
  EXPECT_EQ(text(out() / "a") + text(out() / "b"), "ab");
  EXPECT_FALSE(fs::exists(out() / ".unfinished"));
}

TEST_F(Staging, RefusesASavedFileThatIsGoneCutOrChanged) {
  const auto begin = [this] {
    fs::remove_all(out());
    StagedFolder folder(out(), kIdentity);
    folder.append("a", "saved");
    folder.save({1});
  };
  begin();
  fs::remove(staged("a"));
  EXPECT_THROW(StagedFolder(out(), kIdentity), ConfigError);
  begin();
  fs::resize_file(staged("a"), 3);
  EXPECT_THROW(StagedFolder(out(), kIdentity), ConfigError);
  begin();
  std::ofstream(staged("a")) << "Saved";
  StagedFolder folder(out(), kIdentity);
  EXPECT_THROW(folder.append("a", "more"), ConfigError);
}

TEST_F(Staging, BelongsToOneProcessAtATime) {
  const StagedFolder folder(out(), kIdentity);
  EXPECT_THROW(StagedFolder(out(), kIdentity), ConfigError);
}

TEST_F(Staging, LeavesTheFilesOfOthersAlone) {
  fs::create_directories(out());
  EXPECT_FALSE(StagedFolder::inspect(out()));
  std::ofstream(out() / "theirs") << "x";
  EXPECT_THROW(StagedFolder::inspect(out()), ConfigError);
}

TEST_F(Staging, AWriteThatIsRefusedNamesTheFile) {
  StagedFolder folder(out(), kIdentity);
  // Every write to this device fails as on a full disk.
  fs::create_symlink("/dev/full", staged("a"));
  folder.append("a", "text");
  try {
    folder.save({1});
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOSPC);
    EXPECT_NE(std::string(error.what()).find(staged("a").string() + ": cannot write; make room"), std::string::npos);
  }
}

}  // namespace
}  // namespace millrace
