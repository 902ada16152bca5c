#include "stages/errors.h"
#include "tests/stages/parquet/parquet_fixture.h"

namespace millrace {
namespace {

using Strings = std::vector<std::string>;
using Numbers = std::vector<std::uint64_t>;
using Causes = std::map<std::string, int>;

class ParquetShard : public ParquetTest {};

/// Ten thousand rows in five row groups.
constexpr const char* kNumbered = "SELECT 'row ' || i AS content, i AS size FROM range(10000) AS numbers(i)";

TEST_F(ParquetShard, GivesItsRowsInOrder) {
  const Reading reading = read_shard(write(kNumbered), 0, {layout_named("the-stack")});
  ASSERT_EQ(reading.documents.size(), 10000U);
  EXPECT_EQ(reading.documents[7777].text, "row 7777");
  EXPECT_EQ(reading.documents[7777].where.record, 7777U);
  EXPECT_TRUE(reading.rejects.empty());
}

TEST_F(ParquetShard, StartsInTheMiddleOfARowGroup) {
  const std::string path = write(kNumbered);
  for (const std::uint64_t first : {1ULL, 2047ULL, 2048ULL, 5000ULL, 9999ULL}) {
    const Reading reading = read_shard(path, first, {layout_named("the-stack")});
    ASSERT_EQ(reading.documents.size(), 10000 - first);
    EXPECT_EQ(reading.documents[0].where.record, first);
  }
  EXPECT_TRUE(read_shard(path, 10000, {layout_named("the-stack")}).documents.empty());
}

TEST_F(ParquetShard, RejectsNullAndEmptyRowsByThemselves) {
  const std::string path = write("SELECT * FROM (VALUES ('a'), (NULL), (''), ('b')) AS v(content)");
  const Reading reading = read_shard(path, 0, {layout_named("the-stack")});
  EXPECT_EQ(reading.records(), (Numbers{0, 3}));
  EXPECT_EQ(reading.causes(), (Causes{{"empty_text", 1}, {"wrong_type", 1}}));
}

TEST_F(ParquetShard, WithoutTheTextSaysSoOfEachRow) {
  const std::string path = write("SELECT i AS size, {'a': 'x'} AS meta, ['x'] AS list FROM range(3) AS numbers(i)");
  const auto causes = [&](const std::string& field) { return read_shard(path, 0, {{"custom", field}}).causes(); };
  EXPECT_EQ(causes("text"), (Causes{{"missing_field", 3}}));
  EXPECT_EQ(causes("meta.b"), (Causes{{"missing_field", 3}}));
  EXPECT_EQ(causes("size.b"), (Causes{{"missing_field", 3}}));
  EXPECT_EQ(causes("list.b"), (Causes{{"missing_field", 3}}));
  EXPECT_EQ(causes("size"), (Causes{{"wrong_type", 3}}));
  EXPECT_EQ(causes("meta"), (Causes{{"wrong_type", 3}}));
  EXPECT_EQ(causes("list"), (Causes{{"wrong_type", 3}}));
  EXPECT_EQ(read_shard(path, 2).rejects.at(0).where.record, 2U);
}

TEST_F(ParquetShard, LosesOfARowGroupOnlyTheTextsThatAreNotUtf8) {
  const std::string path = write(
      "SELECT CASE WHEN i IN (5, 3000, 3001) THEN unhex('61FF') ELSE encode('row ' || i) END AS content "
      "FROM range(10000) AS numbers(i)");
  const Reading reading = read_shard(path, 0, {layout_named("the-stack")});
  EXPECT_EQ(reading.documents.size(), 9997U);
  EXPECT_EQ(reading.causes(), (Causes{{"bad_utf8", 3}}));
  Numbers bad;
  for (const Reject& reject : reading.rejects) bad.push_back(reject.where.record);
  EXPECT_EQ(bad, (Numbers{5, 3000, 3001}));
}

TEST_F(ParquetShard, TakesFieldsOfStructColumnsByTheirPath) {
  const std::string path = write("SELECT {'body': 'text ' || i, 'lang': 'l' || (i % 2)} AS meta FROM range(4) AS n(i)");
  ReadOptions options;
  options.layout.text_field = "meta.body";
  options.filter.keep = {{"meta.lang", {"l1"}}};
  options.fields = {"meta.lang", "nowhere"};
  const Reading reading = read_shard(path, 0, options);
  EXPECT_EQ(reading.texts(), (Strings{"text 1", "text 3"}));
  EXPECT_EQ(reading.documents.at(0).fields, (Strings{"l1", ""}));
}

TEST_F(ParquetShard, LetsAConditionOverItsColumnsChooseTheRows) {
  ReadOptions options{layout_named("the-stack")};
  options.filter.where = "size % 5000 = 1 OR size = 9999 -- nothing else";
  const std::string path = write(kNumbered);
  const Reading all = read_shard(path, 0, options);
  EXPECT_EQ(all.records(), (Numbers{1, 5001, 9999}));
  EXPECT_EQ(all.filtered.size(), 9997U);
  const Reading rest = read_shard(path, 5000, options);
  EXPECT_EQ(rest.records(), (Numbers{5001, 9999}));
  EXPECT_EQ(rest.filtered.size(), 4998U);
}

TEST_F(ParquetShard, RefusesAConditionThatIsWrong) {
  ReadOptions options{layout_named("the-stack")};
  const std::string path = write(kNumbered);
  for (const char* where : {"no_such_column = 1", "size >", "size = 1); SELECT (2"}) {
    options.filter.where = where;
    EXPECT_THROW(read_shard(path, 0, options), ConfigError) << where;
  }
  options.filter.where = "size = 1";
  EXPECT_THROW(read_shard(folder_.write("lines.jsonl", "{}"), 0, options), ConfigError);
}

TEST_F(ParquetShard, ShowsItsLayout) {
  EXPECT_EQ(detect_layout(write(kNumbered)).text_field, "content");
}

TEST_F(ParquetShard, TakesNoColumnFromItsPath) {
  const std::string select = "SELECT 'from the file' AS content, 'Python' AS lang FROM range(3)";
  ReadOptions options{layout_named("the-stack")};
  options.fields = {"lang", "size"};
  for (const char* folder : {"content=from the path", "lang=C", "size=7", "year=2024"}) {
    const std::string path = write(select, "", std::string(folder) + "/a.parquet");
    const Reading reading = read_shard(path, 0, options);
    ASSERT_EQ(reading.texts(), Strings(3, "from the file")) << folder;
    EXPECT_EQ(reading.documents[0].fields, (Strings{"Python", ""})) << folder;
    options.filter.where = "size = 7";
    EXPECT_THROW(read_shard(path, 0, options), ConfigError) << folder;
    options.filter.where = "";
  }
}

TEST_F(ParquetShard, IsReadUnderAnyName) {
  const std::string bytes = bytes_of(write("SELECT 'text' AS content", "", "plain.parquet"));
  for (const char* name : {"*", "[a]", "?", "**/x", "a\\b*", "a\\b", "{a,b}", "it's", "a\nb", "~", "\xFF"}) {
    const std::string path = folder_.write(std::string(name) + "/" + name, bytes);
    EXPECT_EQ(read_shard(path, 0, {layout_named("the-stack")}).texts(), Strings{"text"}) << name;
  }
}

TEST_F(ParquetShard, TakesNamesThatReadersUseForColumnsLikeAnyOther) {
  for (const char* name :
       {"file_row_number", "filename", "file_index", "rowid", "#0", "a\"b", "a.b", "x y", "select"}) {
    const std::string column = sql_name(name);
    const std::string path = write("SELECT 'text ' || i AS " + column + ", i % 2 AS other FROM range(5000) AS n(i)");
    ReadOptions options{{"custom", name}};
    EXPECT_EQ(read_shard(path, 0, options).texts().at(4999), "text 4999") << name;
    options.filter.keep = {{name, {"text 7", "text 4998"}}};
    EXPECT_EQ(read_shard(path, 0, options).records(), (Numbers{7, 4998})) << name;
    EXPECT_EQ(read_shard(path, 3000, options).records(), (Numbers{4998})) << name;
    options.filter = {};
    options.filter.where = column + " = 'text 7' OR other + 1 = 3";
    EXPECT_EQ(read_shard(path, 0, options).records(), (Numbers{7})) << name;
  }
}

TEST_F(ParquetShard, TellsNamesApartThatDifferInCaseOnly) {
  std::string path = write_with("SELECT 'lower' AS text, 'upper' AS tex1, 'C' AS lang, 'D' AS lan1", "tex1", "TEXT");
  path = folder_.write("patched.parquet", replaced(bytes_of(path), "lan1", "LANG"));
  const auto texts = [&](const std::string& field, const std::string& where = "") {
    ReadOptions options{{"custom", field}};
    options.filter.where = where;
    return read_shard(path, 0, options).texts();
  };
  EXPECT_EQ(texts("text"), (Strings{"lower"}));
  EXPECT_EQ(texts("TEXT"), (Strings{"upper"}));
  EXPECT_EQ(texts("text", "lang = 'C' AND LANG = 'D' AND TEXT = 'upper'"), (Strings{"lower"}));
  EXPECT_TRUE(texts("text", "lang = 'D'").empty());
  const Reading neither = read_shard(path, 0, {{"custom", "Text"}});
  EXPECT_EQ(neither.causes(), (Causes{{"missing_field", 1}}));
  EXPECT_NE(neither.rejects.at(0).reason.find(R"(there is "text" and "TEXT")"), std::string::npos)
      << neither.rejects.at(0).reason;
  try {
    texts("text", "Lang = 'C'");
    ADD_FAILURE() << "which of the two was it?";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find(R"("lang" or "LANG")"), std::string::npos) << error.what();
  }
}

TEST_F(ParquetShard, TellsFieldsApartThatDifferInCaseOnly) {
  const std::string path =
      write_with("SELECT {'body': 'lower', 'bod1': 'upper'} AS meta, [{'k': 'a', '1': 'b'}] AS list", "bod1", "BODY");
  EXPECT_EQ(read_shard(path, 0, {{"custom", "meta.body"}}).texts(), (Strings{"lower"}));
  EXPECT_EQ(read_shard(path, 0, {{"custom", "meta.BODY"}}).texts(), (Strings{"upper"}));
  EXPECT_EQ(read_shard(path, 0, {{"custom", "meta.Body"}}).causes(), (Causes{{"missing_field", 1}}));
}

/// Every seventh text is not UTF-8: two invalid bytes replace the placeholder.
TEST_F(ParquetShard, LosesTheRowsAloneWhoseTextIsNotUtf8) {
  const std::string rows = " AS content, 'lang ' || (i % 3) AS lang, i AS size FROM range(5000) AS numbers(i)";
  const std::vector<std::pair<std::string, std::string>> pages{
      {"CASE WHEN i % 7 = 0 THEN 'bad ~~ ' || i ELSE 'row ' || i END", ""},  // Plain.
      {"CASE WHEN i % 7 = 0 THEN 'bad ~~' ELSE 'row ' || (i % 2) END", ""},  // By dictionary.
      {"CASE WHEN i % 7 = 0 THEN 'bad ~~' ELSE 'row ' || (i % 2) END", ", PARQUET_VERSION V2"},
      {"CASE WHEN i % 7 = 0 THEN 'bad ~~ ' || i ELSE 'row ' || i END", ", PARQUET_VERSION V2"},  // By differences.
  };
  for (const auto& [text, options] : pages) {
    const std::string path = write_with("SELECT " + text + rows, "~~", "\xFF\xC0", options);
    ReadOptions read{layout_named("the-stack")};
    read.fields = {"lang"};
    for (const std::uint64_t first : {0, 6, 2048, 4000}) {
      const Reading reading = read_shard(path, first, read);
      for (const Document& document : reading.documents) {
        EXPECT_NE(document.where.record % 7, 0U);
        EXPECT_EQ(document.text.rfind("row ", 0), 0U);
        EXPECT_EQ(document.fields.at(0), "lang " + std::to_string(document.where.record % 3));
      }
      for (const Reject& reject : reading.rejects) EXPECT_EQ(reject.where.record % 7, 0U);
      EXPECT_EQ(reading.documents.size() + reading.rejects.size(), 5000 - first);
      EXPECT_EQ(reading.causes(), (Causes{{"bad_utf8", static_cast<int>(715 - (first + 6) / 7)}})) << options;
    }
    read.filter.where = "lang = 'lang 1' AND contains(lang, '1') AND size >= 4900";
    const Reading some = read_shard(path, 0, read);
    EXPECT_EQ(some.documents.size() + some.rejects.size(), 34U) << "4900, 4903, ... 4999";
    EXPECT_EQ(some.filtered.size(), 5000U - 34U);
  }
}

TEST_F(ParquetShard, LosesARowWhereAFieldThatIsAskedForIsNotUtf8) {
  const std::string path = write_with(
      "SELECT 'text ' || i AS content, CASE WHEN i = 3 THEN '~~' ELSE 'C' END AS lang, {'a': CASE WHEN i = 4 THEN '~~' "
      "ELSE 'x' END, 'b': i} AS meta, [CASE WHEN i = 5 THEN '~~' ELSE 'y' END] AS list FROM range(10) AS n(i)",
      "~~", "\xFF\xC0");
  const auto lost = [&](const RecordFilter& filter, const Strings& fields = {}) {
    ReadOptions options{layout_named("the-stack")};
    options.filter = filter;
    options.fields = fields;
    const Reading reading = read_shard(path, 0, options);
    Numbers records;
    for (const Reject& reject : reading.rejects) {
      EXPECT_EQ(name_of(reject.cause), std::string("bad_utf8"));
      records.push_back(reject.where.record);
    }
    EXPECT_EQ(reading.documents.size() + reading.rejects.size() + reading.filtered.size(), 10U);
    return records;
  };
  EXPECT_EQ(lost({}), Numbers{});
  EXPECT_EQ(lost({.keep = {{"lang", {"C"}}}}), Numbers{3});
  EXPECT_EQ(lost({.drop = {{"lang", {"D"}}}}), Numbers{3});
  EXPECT_EQ(lost({.keep = {{"lang", {"C"}}, {"meta.b", {"1", "2"}}}}), Numbers{}) << "row 3 is out in any case";
  EXPECT_EQ(lost({.keep = {{"meta.a", {"x"}}}}), Numbers{4});
  EXPECT_EQ(lost({.keep = {{"list", {"y"}}}}), Numbers{5});
  EXPECT_EQ(lost({}, {"lang", "meta.a", "list"}), (Numbers{3, 4, 5}));
  EXPECT_EQ(lost({.where = "lang = 'C'"}), Numbers{3});
  EXPECT_EQ(lost({.where = "meta.a = 'x' AND meta.b < 9"}), Numbers{4});
  EXPECT_EQ(lost({.where = "list_contains(list, 'y')"}), Numbers{5});
  EXPECT_EQ(lost({.where = "len(list_filter(list, lambda t: t = lang)) = 0"}), (Numbers{3, 5}));
}

TEST_F(ParquetShard, NamesTheFieldThatIsNotUtf8) {
  const std::string path = write_with("SELECT 'a' AS content, '~~' AS lang", "~~", "\xFF\xC0");
  ReadOptions options{layout_named("the-stack")};
  options.filter.keep = {{"lang", {"C"}}};
  EXPECT_EQ(read_shard(path, 0, options).rejects.at(0).reason, "field \"lang\" is not valid UTF-8");
}

TEST_F(ParquetShard, IsNeverDamagedByWhatIsAskedOfIt) {
  const std::string path = write(
      "SELECT 'row ' || i AS content, CASE WHEN i = 7000 THEN 'x' ELSE '1' END AS size, "
      "FROM range(10000) AS numbers(i)");
  ReadOptions options{layout_named("the-stack")};
  for (const char* where : {"size::INT = 1", "CAST(size AS INT) > 0 AND content <> ''", "size::DATE < '2020-01-01'",
                            "sqrt(size::DOUBLE - 2) > 1", "size + INTERVAL 1 DAY > 3", "CAST('x' AS INT) = 3"}) {
    options.filter.where = where;
    try {
      const Reading reading = read_shard(path, 0, options);
      ADD_FAILURE() << where << ": " << reading.documents.size() << " documents";
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(where), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).rfind(path, 0), 0U) << error.what();
    }
  }
  options.filter.where = "try_cast(size AS INT) = 1";
  EXPECT_EQ(read_shard(path, 0, options).documents.size(), 9999U);
}

TEST_F(ParquetShard, LosesAGroupWhosePagesAreDamagedAndNoOther) {
  const std::string path = write("SELECT 'row ' || i AS content FROM range(10000) AS numbers(i)", ", COMPRESSION zstd");
  std::string bytes = bytes_of(path);
  for (std::size_t at = 4; at < 300; ++at) bytes[at] = '\x5A';
  const Reading reading = read_shard(folder_.write("damaged.parquet", bytes), 0, {layout_named("the-stack")});
  EXPECT_EQ(reading.causes(), (Causes{{"damaged_page", 1}}));
  EXPECT_EQ(reading.records().front(), 2048U);
  EXPECT_EQ(reading.documents.size(), 10000U - 2048U);
}

TEST_F(ParquetShard, IsCalledByItsOwnNameInWhatIsSaidOfDamage) {
  const std::string path = write("SELECT 'row ' || i AS content FROM range(3000) AS numbers(i)", ", COMPRESSION zstd");
  std::string bytes = bytes_of(path);
  for (std::size_t at = 4; at < 300; ++at) bytes[at] = '\x5A';
  const std::string damaged = folder_.write("damaged.parquet", bytes);
  const Reading reading = read_shard(damaged, 0, {layout_named("the-stack")});
  ASSERT_EQ(reading.causes(), (Causes{{"damaged_page", 1}}));
  EXPECT_EQ(reading.rejects[0].reason.find("/proc/"), std::string::npos) << reading.rejects[0].reason;
  EXPECT_EQ(reading.rejects[0].reason, read_shard(damaged, 0, {layout_named("the-stack")}).rejects[0].reason);
}

/// The file with an empty name in its footer wherever there was `name`.
std::string without_name(const std::string& bytes, const std::string& name) {
  const auto little_endian = [](std::string_view at) {
    std::uint32_t value = 0;
    for (std::size_t i = 4; i-- > 0;) value = value << 8U | static_cast<unsigned char>(at[i]);
    return value;
  };
  const std::uint32_t length = little_endian(std::string_view(bytes).substr(bytes.size() - 8));
  const std::size_t begin = bytes.size() - 8 - length;
  const std::string footer =
      replaced(bytes.substr(begin, length), static_cast<char>(name.size()) + name, std::string(1, '\0'));
  std::string size;
  for (unsigned i = 0; i < 4; ++i) size += static_cast<char>(footer.size() >> (8 * i) & 0xFFU);
  return bytes.substr(0, begin) + footer + size + "PAR1";
}

TEST_F(ParquetShard, MayHaveFieldsWithoutAName) {
  const std::string path = write(
      "SELECT * FROM (VALUES ({'zqz': 'a', 'b': {'zqz': 1}, 'c': ['x']}), ({'zqz': 'd', 'b': {'zqz': 2}, 'c': []}), "
      "({'zqz': NULL, 'b': NULL, 'c': NULL}), (NULL)) AS v(meta)");
  const std::string nameless = folder_.write("nameless.parquet", without_name(bytes_of(path), "zqz"));
  ReadOptions options{{"custom", "meta."}};
  options.fields = {"meta.b.", "meta.c"};
  const Reading reading = read_shard(nameless, 0, options);
  EXPECT_EQ(reading.texts(), (Strings{"a", "d"}));
  EXPECT_EQ(reading.causes(), (Causes{{"missing_field", 1}, {"wrong_type", 1}}));
  ASSERT_EQ(reading.documents.size(), 2U);
  EXPECT_EQ(reading.documents[0].fields, (Strings{"1", "x"}));
  options.filter.keep = {{"meta.b.", {"2"}}};
  EXPECT_EQ(read_shard(nameless, 0, options).texts(), Strings{"d"});
}

TEST_F(ParquetShard, FiltersByTextsWithZeroBytes) {
  const std::string path =
      write("SELECT * FROM (VALUES ('a', 'x' || chr(0) || 'y'), ('b', 'x'), ('c', 'xy')) AS v(content, k)");
  ReadOptions options{layout_named("the-stack")};
  options.filter.keep = {{"k", {std::string("x\0y", 3)}}};
  EXPECT_EQ(read_shard(path, 0, options).texts(), Strings{"a"});
  options.filter = {.drop = {{"k", {std::string("x\0y", 3), "'"}}}};
  EXPECT_EQ(read_shard(path, 0, options).texts(), (Strings{"b", "c"}));
}

TEST_F(ParquetShard, WithEncryptedColumnsIsForeignThoughItsFooterCanBeRead) {
  const std::string sound = bytes_of(write("SELECT 'row ' || i AS content FROM range(9) AS numbers(i)"));
  // The last field of the footer, the eighth: an encryption, AES-GCM.
  std::string bytes =
      sound.substr(0, sound.size() - 9) + std::string("\x0C\x10\x1C\0\0\0", 6) + sound.substr(sound.size() - 8);
  bytes[bytes.size() - 8] = static_cast<char>(bytes[bytes.size() - 8] + 5);
  const std::string path = folder_.write("encrypted.parquet", bytes);
  ASSERT_TRUE(has_encrypted_columns(InputFile(path)));
  ASSERT_TRUE(foreign_shard(path, ""));
  EXPECT_EQ(foreign_shard(path, "")->name, "encrypted Parquet");
  const Reading reading = read_shard(path, 0, {layout_named("the-stack")});
  EXPECT_EQ(reading.causes(), (Causes{{"unreadable", 1}}));
  EXPECT_TRUE(reading.documents.empty());
}

TEST_F(ParquetShard, SaysHowMuchIsLostWithAGroupOrTheFile) {
  const std::string path = write("SELECT 'row ' || i AS content, i AS size FROM range(5000) AS numbers(i)");
  const std::string bytes = bytes_of(path);
  std::string damaged = bytes;
  for (std::size_t at = 4; at < 300; ++at) damaged[at] = '\x5A';
  const Reading group = read_shard(folder_.write("damaged.parquet", damaged), 0, {layout_named("the-stack")});
  ASSERT_EQ(group.causes(), (Causes{{"damaged_page", 1}}));
  EXPECT_EQ(group.rejects[0].loss.records, 2048U);
  EXPECT_NEAR(static_cast<double>(group.rejects[0].loss.bytes), 2048.0 * 12, 2048.0 * 3) << "length, and 'row 1234'";
  const Reading file = read_shard(folder_.write("cut.parquet", bytes.substr(0, bytes.size() - 9)), 0);
  ASSERT_EQ(file.causes(), (Causes{{"damaged_footer", 1}}));
  EXPECT_GE(file.rejects[0].loss.bytes, bytes.size());
  const Reading sound = read_shard(path, 0, {layout_named("the-stack")});
  EXPECT_EQ(sound.documents[7].where.size, sound.documents[7].text.size());
}

TEST_F(ParquetShard, InACodecThatNobodyReadsLosesAllItsRows) {
  const std::string path =
      write("SELECT 'row ' || i AS content FROM range(305) AS numbers(i)", ", COMPRESSION lz4_raw");
  const std::string lzo = folder_.write("lzo.parquet", with_codec(bytes_of(path), 3, folder_));
  const Reading reading = read_shard(lzo, 0, {layout_named("the-stack")});
  ASSERT_EQ(reading.causes(), (Causes{{"damaged_page", 1}}));
  EXPECT_EQ(reading.rejects[0].loss.records, 305U);
  EXPECT_NE(reading.rejects[0].reason.find("LZO"), std::string::npos) << reading.rejects[0].reason;
}

TEST_F(ParquetShard, GivesTheSameOrIsRejectedWhereverAByteIsOther) {
  const std::string path = write("SELECT 'row ' || i AS content, {'a': [i]} AS meta FROM range(60) AS numbers(i)",
                                 ", COMPRESSION uncompressed");
  const std::string sound = bytes_of(path);
  ReadOptions options{layout_named("the-stack")};
  options.filter.drop = {{"meta.a", {"7"}}};
  for (std::size_t at = 4; at < sound.size(); at += 17) {
    std::string bytes = sound;
    bytes[at] ^= '\x41';
    const Reading reading = read_shard(folder_.write("mutated.parquet", bytes), 0, options);
    EXPECT_LE(reading.documents.size() + reading.filtered.size(), 60U) << at;
  }
}

TEST_F(ParquetShard, FiltersByPathsThroughStructsListsAndMaps) {
  const std::string path = write(
      "SELECT * FROM (VALUES "
      "('a', [{'name': 'C', 'tags': ['x', 'y']}, {'name': 'D', 'tags': NULL}], [[1, 2], [3]], MAP {'k': 'v'}, {'l': "
      "{'m': 5}}), "
      "('b', [], NULL, MAP {}, {'l': NULL}), ('c', NULL, [[4]], MAP {'k': 'w', 'j': 'v'}, NULL)) AS v(content, langs, "
      "n, m, s)");
  const auto kept = [&](const std::string& field, const Strings& values) {
    ReadOptions options{layout_named("the-stack")};
    options.filter.keep = {{field, values}};
    const Numbers taken = read_shard(path, 0, options).records();
    options.filter = {.drop = {{field, values}}};
    EXPECT_EQ(read_shard(path, 0, options).records().size() + taken.size(), 3U) << field;
    return taken;
  };
  EXPECT_EQ(kept("langs.name", {"D"}), Numbers{0});
  EXPECT_EQ(kept("langs.tags", {"y"}), Numbers{0});
  EXPECT_EQ(kept("n", {"3", "4"}), (Numbers{0, 2}));
  EXPECT_EQ(kept("m.k", {"v"}), Numbers{0});
  EXPECT_EQ(kept("m.j", {"v"}), Numbers{2});
  EXPECT_EQ(kept("s.l.m", {"5"}), Numbers{0});
  for (const char* nowhere : {"nowhere", "langs.nowhere", "s.l.m.n", "s.l", "content.x", "m.nowhere", "langs"})
    EXPECT_EQ(kept(nowhere, {"C", "5", "v", ""}), Numbers{}) << nowhere;
}

TEST_F(ParquetShard, OpensOneDuckdbForAll) {
  DuckdbSession one, other;
  one.query("CREATE TEMP TABLE mine (i BIGINT)");
  EXPECT_NO_THROW(other.query("CREATE TEMP TABLE mine (i BIGINT)")) << "tables are a session's own";
  const auto database = [](DuckdbSession& session) {
    DuckdbRows rows = session.query("SELECT CAST(current_connection_id() AS BIGINT)");
    rows.next_chunk();
    return rows.number(0, 0);
  };
  EXPECT_NE(database(one), database(other)) << "connections of one database are counted through";
}

}  // namespace
}  // namespace millrace
