#include "pipeline/config/corpus_name.h"

#include <gtest/gtest.h>

#include "pipeline/config/mix_file.h"
#include "stages/errors.h"

namespace millrace {
namespace {

std::string complaint_about_name(const std::string& name) {
  try {
    mix_from_toml("name = \"m\"\n[[corpus]]\nname = " + name + "\nshare = 100\nshards = [\"x\"]\n", "mix.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(CorpusName, IsLettersDigitsAndAFewMarks) {
  for (const char* name : {"a", "Z9", "c4", "the_stack.c++-2", "0", "unfinished"})
    EXPECT_EQ(why_no_corpus_name(name), "");
  for (const char* name :
       {"", ".hidden", "-x", "_x", "+x", "a b", "a/b", "..", "a\nb", "a\\b", "caf\xC3\xA9", "a:b", "*"})
    EXPECT_NE(why_no_corpus_name(name), "") << name;
}

TEST(CorpusName, IsNotThatOfAFileOfOurs) {
  for (const char* name : {"preprocess.json", "rejects.jsonl", "progress.json", "index.json", "Preprocess.JSON"})
    EXPECT_NE(why_no_corpus_name(name).find("millrace itself"), std::string::npos) << name;
}

TEST(CorpusName, LeavesRoomInFileNamesForWhatFormatsPutBehindIt) {
  const std::string room_for_suffix(237, 'a');
  EXPECT_EQ(why_no_corpus_name(room_for_suffix), "");
  EXPECT_EQ((room_for_suffix + "_text_document.bin").size(), 255U);
  EXPECT_EQ(why_no_corpus_name(room_for_suffix + "a"),
            "is 238 bytes long, expected at most 237: files are called after corpora");
  const std::string said = complaint_about_name("\"" + std::string(300, 'n') + "\"");
  EXPECT_NE(said.find("mix.toml:3:1: "), std::string::npos) << said;
  EXPECT_NE(said.find("is 300 bytes long"), std::string::npos) << said;
}

TEST(CorpusName, IsRefusedInTheMixWithItsPlace) {
  EXPECT_EQ(complaint_about_name("\"prose\""), "");
  const std::string said = complaint_about_name("\"a/\\nb\"");
  EXPECT_NE(said.find("mix.toml:3:1: [[corpus]] name \"a/\\nb\" has a character"), std::string::npos) << said;
}

TEST(CorpusName, MayNotDifferFromAnotherInCapitalsOnlyWhereFilesAreCalledAfterIt) {
  refuse_names_alike({"a", "b", "ab"});
  EXPECT_THROW(refuse_names_alike({"Wiki", "code", "wiki"}), ConfigError);
}

}  // namespace
}  // namespace millrace
