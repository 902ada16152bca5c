#include "stages/listing/shard_list.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "stages/errors.h"
#include "stages/listing/natural_order.h"
#include "tests/stages/shards/shard_fixture.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

class ShardList : public ::testing::Test {
 protected:
  FoundShards find(const Strings& patterns) const { return list_shards(patterns, folder_.path().string()); }
  Strings list(const Strings& patterns) const { return find(patterns).names; }
  /// What was passed over, with the test's folder left out.
  Strings passed_over(const Strings& patterns) const {
    Strings lines = find(patterns).passed_over;
    for (std::string& line : lines) {
      if (line.starts_with(folder_.path().string() + "/")) line.erase(0, folder_.path().string().size() + 1);
    }
    return lines;
  }
  std::string complaint(const Strings& patterns) const {
    try {
      list(patterns);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "none";
  }
  void touch(const std::string& name) const { folder_.write(name, "x"); }
  void link(const std::string& target, const std::string& name) const {
    fs::create_directories((folder_.path() / name).parent_path());
    fs::create_symlink(target, folder_.path() / name);
  }
  TemporaryFolder folder_;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(ShardList, PutsPart2BeforePart10) {
  for (const char* name : {"part-10.jsonl", "part-2.jsonl", "part-1.jsonl"}) touch(name);
  EXPECT_EQ(list({"part-*.jsonl"}), (Strings{"part-1.jsonl", "part-2.jsonl", "part-10.jsonl"}));
}

TEST_F(ShardList, NamesAShardOnceThoughTwoPatternsMatchIt) {
  touch("a.jsonl");
  EXPECT_EQ(list({"a.jsonl", "*.jsonl", "."}), (Strings{"a.jsonl"}));
}

TEST_F(ShardList, TakesFromAFolderWhatIsCalledAsShardsAreButAnythingThatIsNamed) {
  const Strings shards{"d/a.jsonl.zst", "d/b.json",   "d/c.json.gz",  "d/deep/b.parquet",
                       "d/e.json.zst",  "d/f.ndjson", "d/g.jsonl.xz", "d/h.ndjson.gz"};
  for (const std::string& name : shards) touch(name);
  for (const char* name : {"d/notes.txt", "d/table.csv"}) touch(name);
  EXPECT_EQ(list({"d"}), shards);
  EXPECT_EQ(list({"d/notes.txt", "d/t*"}), (Strings{"d/notes.txt", "d/table.csv"}));
}

TEST_F(ShardList, PassesOverWhatIsPlainlyNoShardAndSaysSo) {
  for (const char* name : {"a.jsonl", ".b.jsonl", "c.jsonl.tmp", "d.jsonl~", "e.jsonl.incomplete", "f.jsonl.part",
                           ".ipynb_checkpoints/g.jsonl", "_SUCCESS", "a.jsonl.sha256", "SHA256SUMS", "notes.txt"})
    touch(std::string("d/") + name);
  folder_.write("d/languages.json", "{\n \"en\": 1\n}\n");
  for (const char* pattern : {"d", "d/*", "**/*"}) EXPECT_EQ(list({pattern})[0], "d/a.jsonl") << pattern;
  EXPECT_EQ(list({"d"}), (Strings{"d/a.jsonl"}));
  EXPECT_EQ(passed_over({"d"}),
            (Strings{"d: unfinished or temporary: 4 (c.jsonl.tmp, d.jsonl~, e.jsonl.incomplete, f.jsonl.part); "
                     "JSON documents: 1 (languages.json); marks of other programs: 1 (_SUCCESS); "
                     "checksums: 2 (SHA256SUMS, a.jsonl.sha256); hidden: 2 (.b.jsonl, .ipynb_checkpoints); "
                     "other files: 1 (...)"}));
  EXPECT_EQ(list({"d/*"}), (Strings{"d/a.jsonl", "d/notes.txt"})) << "a glob names whatever is not plainly none";
  EXPECT_EQ(list({"d/*.tmp", "d/_SUCCESS", "d/.b*"}), (Strings{"d/.b.jsonl", "d/_SUCCESS", "d/c.jsonl.tmp"}));
  EXPECT_EQ(passed_over({"d/a.jsonl"}), Strings());
  EXPECT_FALSE(has(passed_over({"d", "d/_SUCCESS"}).at(0), "marks"));
}

TEST_F(ShardList, ReadsNoCopyThatAnEditorKeptBesideAShard) {
  for (const char* name : {"a.jsonl", "a.jsonl~", "a.jsonl.bak", "a.jsonl.orig", "a.jsonl.old"})
    touch(std::string("d/") + name);
  EXPECT_EQ(list({"d"}), (Strings{"d/a.jsonl"}));
  EXPECT_EQ(passed_over({"d"}),
            (Strings{"d: unfinished or temporary: 4 (a.jsonl.bak, a.jsonl.old, a.jsonl.orig, a.jsonl~)"}));
}

TEST_F(ShardList, NamesUpToTenOfWhatItPassesOverInAFolder) {
  touch("d/a.jsonl");
  for (int i = 1; i <= 12; ++i) touch("d/" + std::to_string(i) + ".tmp");
  EXPECT_EQ(passed_over({"d"}), (Strings{"d: unfinished or temporary: 12 (1.tmp, 2.tmp, 3.tmp, 4.tmp, 5.tmp, 6.tmp, "
                                         "7.tmp, 8.tmp, 9.tmp, 10.tmp, ...)"}));
}

TEST_F(ShardList, PassesOverWhatAnIndexWroteUnlessItIsNamed) {
  for (const char* name : {"d/a.jsonl", "d/b.json", "d/millrace-index.json", "d/millrace-index.rejects.jsonl",
                           "d/other.json", "d/other.rejects.jsonl"})
    touch(name);
  EXPECT_EQ(list({"d"}), (Strings{"d/a.jsonl", "d/b.json"}));
  EXPECT_EQ(list({"d/*.jsonl"}), (Strings{"d/a.jsonl"}));
  EXPECT_EQ(list({"d/millrace-index.rejects.jsonl"}), (Strings{"d/millrace-index.rejects.jsonl"}));
}

TEST_F(ShardList, FollowsLinksToFilesAndFolders) {
  for (const char* name : {"elsewhere/1.jsonl", "elsewhere/deep/2.jsonl", "d/3.jsonl"}) touch(name);
  link("../elsewhere", "d/linked");
  link("../elsewhere/1.jsonl", "d/one.jsonl");
  touch("elsewhere2/4.jsonl");
  link("../elsewhere2/4.jsonl", "d/four.jsonl");
  const Strings all{"d/3.jsonl", "d/four.jsonl", "d/linked/1.jsonl", "d/linked/deep/2.jsonl"};
  EXPECT_EQ(list({"d"}), all);
  EXPECT_EQ(list({"d/**/*.jsonl"}), all);
  EXPECT_EQ(list({"d/*/*.jsonl"}), (Strings{"d/linked/1.jsonl"}));
  link("d", "e");
  EXPECT_EQ(list({"e"}).size(), 4U) << "the folder itself may be a link";
}

TEST_F(ShardList, EndsAtCyclesOfLinksAndReadsNoFolderTwice) {
  for (const char* name : {"d/a/1.jsonl", "d/b/2.jsonl"}) touch(name);
  link("..", "d/a/up");
  link("../b", "d/a/b");
  link("../a", "d/b/a");
  link("self", "d/self");
  const Strings both{"d/a/1.jsonl", "d/b/2.jsonl"};
  for (const char* pattern : {"d", "d/**/*.jsonl"}) EXPECT_EQ(list({pattern}), both) << pattern;
  EXPECT_EQ(passed_over({"d"}), (Strings{"d: dangling links: 1 (self -> self)",
                                         "d/a: links to folders whose files are named already: 2 (b -> ../b, up -> ..)",
                                         "d/b: links to folders whose files are named already: 1 (a -> ../a)"}));
}

TEST_F(ShardList, TakesAFileOnceHoweverManyNamesLeadToIt) {
  for (const char* name : {"d/b.jsonl", "d/c.jsonl"}) touch(name);
  link("b.jsonl", "d/a.jsonl");
  link("a.jsonl", "d/z.jsonl");
  fs::create_hard_link(folder_.path() / "d/c.jsonl", folder_.path() / "d/d.jsonl");
  link("d", "e");
  const Strings once{"d/b.jsonl", "d/c.jsonl"};
  folder_.write("list.txt", "d/z.jsonl\nd/b.jsonl\nd/*.jsonl\ne\n");
  for (const Strings& patterns : {Strings{"d"}, Strings{"d/*.jsonl"}, Strings{"e", "d"}, Strings{"@list.txt"},
                                  Strings{"d/a.jsonl", "d/b.jsonl", "d/c.jsonl", "d/d.jsonl"},
                                  Strings{"e/z.jsonl", (folder_.path() / "d").string()}})
    EXPECT_EQ(list(patterns), once) << patterns.front();
  EXPECT_EQ(passed_over({"d"}),
            (Strings{"d: other names of files that are read already: 3 (a.jsonl -> b.jsonl, d.jsonl, "
                     "z.jsonl -> a.jsonl)"}));
  EXPECT_EQ(list({"d/a.jsonl", "d/z.jsonl"}), (Strings{"d/a.jsonl"})) << "the file itself was not asked for";
  EXPECT_EQ(list({"e/b.jsonl"}), (Strings{"e/b.jsonl"}));
}

TEST_F(ShardList, PassesOverDanglingLinksAndSaysWhereTheyLead) {
  touch("d/a.jsonl");
  link("gone", "d/b.jsonl");
  for (const char* pattern : {"d", "d/*.jsonl", "**/*.jsonl"}) {
    EXPECT_EQ(list({pattern}), (Strings{"d/a.jsonl"})) << pattern;
    EXPECT_EQ(passed_over({pattern}), (Strings{"d: dangling links: 1 (b.jsonl -> gone)"})) << pattern;
  }
  EXPECT_TRUE(has(complaint({"d/b.jsonl"}), "it is a link to gone, which is not there"));
}

TEST_F(ShardList, SaysWhatLiesInAFolderWithoutShards) {
  for (const char* name : {"d/a.csv", "d/b.txt", "d/_SUCCESS"}) touch(name);
  fs::create_directory(folder_.path() / "empty");
  const std::string said = complaint({"d"});
  EXPECT_TRUE(has(said, "no shard in the folder")) << said;
  EXPECT_TRUE(has(said, "other files: 2 (a.csv, b.txt)")) << said;
  EXPECT_TRUE(has(said, "*.jsonl*, *.ndjson, *.json (also .gz, .zst) and *.parquet")) << said;
  EXPECT_TRUE(has(complaint({"empty"}), "it is empty"));
  touch("d/x.jsonl.tmp");
  EXPECT_TRUE(has(complaint({"d/*.tmp*[!p]", "d/x.jsonl.*"}), "no shard matches"));
  EXPECT_TRUE(has(complaint({"d/x.*"}), "unfinished or temporary: 1 (x.jsonl.tmp)"));
}

TEST_F(ShardList, RefusesFifosSocketsDevicesAndStandardInputAtOnce) {
  touch("d/a.jsonl");
  ASSERT_EQ(::mkfifo((folder_.path() / "d/pipe.jsonl").c_str(), 0600), 0);
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string socket = (folder_.path() / "s.jsonl").string();
  ASSERT_LT(socket.size(), sizeof address.sun_path);
  socket.copy(address.sun_path, socket.size());
  ASSERT_EQ(::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(descriptor);
  for (const char* pattern : {"d", "d/pipe.jsonl", "d/*.jsonl", "s.jsonl", "/dev/null"})
    EXPECT_TRUE(has(complaint({pattern}), "a FIFO, socket or device")) << pattern << ": " << complaint({pattern});
  for (const char* pattern : {"-", "/dev/stdin", "/dev/fd/0"})
    EXPECT_TRUE(has(complaint({pattern}), "only tokenize reads a stream, with --in -")) << pattern;
  touch("-");
  EXPECT_EQ(list({"-"}), (Strings{"-"})) << "a file of that name";
}

TEST_F(ShardList, UnderstandsGlobs) {
  for (const char* name : {"x/1.jsonl", "x/y/2.jsonl", "z/3.jsonl", "z/[4].jsonl"}) touch(name);
  EXPECT_EQ(list({"**/*.jsonl"}), (Strings{"x/1.jsonl", "x/y/2.jsonl", "z/3.jsonl", "z/[4].jsonl"}));
  EXPECT_EQ(list({"x/**/*.jsonl"}), (Strings{"x/1.jsonl", "x/y/2.jsonl"}));
  EXPECT_EQ(list({"?/[1-3].jsonl"}), (Strings{"x/1.jsonl", "z/3.jsonl"}));
  EXPECT_EQ(list({"z/[4].jsonl"}), (Strings{"z/[4].jsonl"}));
  EXPECT_EQ(list({"[xz]"}), (Strings{"x/1.jsonl", "x/y/2.jsonl", "z/3.jsonl", "z/[4].jsonl"}));
  EXPECT_EQ(list({"x/"}), (Strings{"x/1.jsonl", "x/y/2.jsonl"}));
}

TEST_F(ShardList, TakesBracketsAndStarsInTheDataFoldersNameAsTheyAre) {
  for (const char* data : {"data[1]", "data*", "da?a"}) {
    touch(std::string(data) + "/x/1.jsonl");
    touch("data1/x/other.jsonl");
    const std::string folder = (folder_.path() / data).string();
    for (const char* pattern : {"x", "x/*.jsonl", "**/*.jsonl", "*/1.jsonl", "x/1.jsonl"})
      EXPECT_EQ(list_shards({pattern}, folder).names, (Strings{"x/1.jsonl"})) << data << " " << pattern;
  }
}

TEST_F(ShardList, ReadsListsOfPatterns) {
  for (const char* name : {"a.jsonl", "b.jsonl", "c.jsonl", "#d.jsonl", "e#1.jsonl", "f.jsonl#"}) touch(name);
  folder_.write("list.txt", "# two of three\na.jsonl\n\n  c.*  # the last\n#\n#\r\n");
  EXPECT_EQ(list({"@list.txt"}), (Strings{"a.jsonl", "c.jsonl"}));
  folder_.write("list.txt", "\xEF\xBB\xBF#d.jsonl\ne#1.jsonl # of two # more\r\nf.jsonl##\n");
  EXPECT_EQ(list({"@list.txt"}), (Strings{"#d.jsonl", "e#1.jsonl", "f.jsonl#"}));
  folder_.write("list.txt", "# nothing\n\n");
  EXPECT_TRUE(has(complaint({"@list.txt"}), "names no shard"));
}

TEST_F(ShardList, KeepsPathsElsewhereAbsolute) {
  const TemporaryFolder elsewhere;
  const std::string path = elsewhere.write("e.jsonl", "x");
  EXPECT_EQ(list({path}), (Strings{path}));
}

TEST_F(ShardList, NamesTheFileThatIsReadThoughALinkIsFollowedUpward) {
  for (const char* name : {"elsewhere/deep/1.jsonl", "elsewhere/2.jsonl", "d/2.jsonl"}) touch(name);
  link("../elsewhere/deep", "d/linked");
  EXPECT_EQ(list({"d/linked/../2.jsonl"}), (Strings{"d/linked/../2.jsonl"})) << "not d/2.jsonl";
  EXPECT_EQ(list({"d/../elsewhere/./2.jsonl"}), (Strings{"elsewhere/2.jsonl"}));
}

TEST_F(ShardList, NamesThePatternThatMatchesNothing) {
  touch("a.jsonl");
  folder_.write("list.txt", "a.jsonl\nnone.jsonl\n");
  for (const char* pattern : {"none.jsonl", "none*", "@list.txt", "@nothing.txt", ""}) {
    EXPECT_THROW(list({"a.jsonl", pattern}), ConfigError) << pattern;
  }
  EXPECT_TRUE(has(complaint({"@list.txt"}), "list.txt:2: no shard matches \"none.jsonl\""));
}

TEST(NaturalOrder, ComparesRunsOfDigitsAsNumbers) {
  EXPECT_TRUE(natural_less("a2", "a10"));
  EXPECT_FALSE(natural_less("a10", "a2"));
  EXPECT_TRUE(natural_less("a9b", "a10a"));
  EXPECT_TRUE(natural_less("a", "a1"));
  EXPECT_TRUE(natural_less("a007", "a7") != natural_less("a7", "a007"));
  EXPECT_TRUE(natural_less("99999999999999999999998", "99999999999999999999999"));
}

}  // namespace
}  // namespace millrace
