#include "stages/shards/line_to_document.h"

#include <gtest/gtest.h>

#include "stages/shards/shard_to_lines.h"

namespace millrace {
namespace {

Record parse(const std::string& line, const std::string& field = "text") {
  const std::string padded = line + std::string(kLinePadding, ' ');
  LineToDocument::Scratch scratch;
  ReadOptions options;
  options.layout.text_field = field;
  return LineToDocument(options)(std::string_view(padded).substr(0, line.size()), {"shard", 7, 8, 99}, scratch);
}

std::string text(const std::string& line, const std::string& field = "text") {
  const Record record = parse(line, field);
  const auto* document = std::get_if<Document>(&record);
  return document != nullptr ? document->text : "rejected: " + std::get<Reject>(record).reason;
}

std::string cause(const std::string& line, const std::string& field = "text") {
  const Record record = parse(line, field);
  const auto* reject = std::get_if<Reject>(&record);
  return reject != nullptr ? name_of(reject->cause) : "accepted";
}

std::string nested(int depth, const std::string& innermost = "1") {
  return R"({"text": "x", "meta": )" + std::string(depth, '[') + innermost + std::string(depth, ']') + "}";
}

TEST(LineToDocument, TakesTheTextAndCarriesWhereItStood) {
  const Record record = parse(R"({"meta": {"text": "not this"}, "text": "h\u00e9\n"})");
  const Document& document = std::get<Document>(record);
  EXPECT_EQ(document.text, "hé\n");
  EXPECT_EQ(document.where.shard, "shard");
  EXPECT_EQ(document.where.record, 7U);
  EXPECT_EQ(document.where.line, 8U);
  EXPECT_EQ(document.where.byte, 99U);
}

TEST(LineToDocument, FollowsADottedPath) {
  EXPECT_EQ(text(R"({"a": {"b": {"c": "deep"}}})", "a.b.c"), "deep");
  EXPECT_EQ(cause(R"({"a": {"b": "flat"}})", "a.b.c"), "missing_field");
}

TEST(LineToDocument, LetsTheLastOfEqualKeysCount) {
  EXPECT_EQ(text(R"({"text": "first", "text": "second"})"), "second");
  EXPECT_EQ(cause(R"({"text": "first", "text": null})"), "wrong_type");
  EXPECT_EQ(text(R"({"text": "first", "t\u0065xt": "second"})"), "second");
}

TEST(LineToDocument, KeepsNulAndPairsOfSurrogates) {
  EXPECT_EQ(text(R"({"text": "a\u0000b"})"), std::string("a\0b", 3));
  EXPECT_EQ(text(R"({"text": "\ud83d\ude00"})"), "\xF0\x9F\x98\x80");
}

TEST(LineToDocument, RefusesHalfASurrogatePairAnywhereInTheRecord) {
  EXPECT_EQ(cause(R"({"text": "\ud83d"})"), "bad_utf8");
  EXPECT_EQ(cause(R"({"text": "\ud83dx"})"), "bad_utf8");
  EXPECT_EQ(cause(R"({"text": "\ude00"})"), "bad_utf8");
  EXPECT_EQ(cause(R"({"text": "\ud83d\u0041"})"), "bad_utf8");
  EXPECT_EQ(cause(R"({"text": "fine", "meta": "\\\ud83d"})"), "bad_utf8");
}

TEST(LineToDocument, TellsAWrongEscapeFromAWrongSurrogate) {
  EXPECT_EQ(cause(R"({"text": "\x"})"), "bad_json");
  EXPECT_EQ(cause(R"({"text": "\u12"})"), "bad_json");
  EXPECT_EQ(cause(R"({"text": "\\ud83d \x"})"), "bad_json");
}

TEST(LineToDocument, ValidatesTheRecordWholeEvenWhereNobodyLooks) {
  EXPECT_EQ(cause(R"({"text": "x", "meta": {"a": tru}})"), "bad_json");
  EXPECT_EQ(cause(R"({"text": "x"} {"text": "y"})"), "bad_json");
  EXPECT_EQ(cause(R"({"text": "x",})"), "bad_json");
  EXPECT_EQ(cause(R"({"text": "x"})"
                  "}"),
            "bad_json");
  EXPECT_EQ(cause("{\"text\": \"tab\there\"}"), "bad_json");
  EXPECT_EQ(cause(R"({"text": "x", "n": 1e})"), "bad_json");
}

TEST(LineToDocument, RefusesInvalidUtf8) {
  for (const char* bytes : {"\xFF\xFE", "\xC0\xAF", "\xED\xA0\x80", "\xE2\x82", "\xF4\x90\x80\x80"}) {
    EXPECT_EQ(cause(std::string(R"({"text": ")") + bytes + R"("})"), "bad_utf8");
  }
}

TEST(LineToDocument, AllowsNestingUpTo1024LevelsEmptyOnesCounted) {
  EXPECT_EQ(cause(nested(1023)), "accepted");
  EXPECT_EQ(cause(nested(1024)), "bad_json");
  EXPECT_EQ(cause(nested(1023, "")), "accepted");
  EXPECT_EQ(cause(nested(1024, "")), "bad_json");
  EXPECT_EQ(cause(nested(1023, "{}")), "bad_json");
}

TEST(LineToDocument, LosesNoRecordToALargeNumber) {
  const std::string digits(5000, '9');
  for (const std::string& number : {std::string("123456789012345678901"), std::string("-1e999"), digits}) {
    EXPECT_EQ(text("{\"n\": " + number + ", \"text\": \"x\"}"), "x");
    EXPECT_EQ(cause("{\"text\": " + number + "}"), "wrong_type");
    EXPECT_EQ(keys_of("{\"a\": " + number + ", \"b\": 1}" + std::string(kLinePadding, ' ')).size(), 2U);
  }
  EXPECT_EQ(cause(R"({"text": "x", "n": 123456789012345678901, "m": 1.})"), "bad_json");
  EXPECT_EQ(cause(R"({"text": "\ud83d", "n": 123456789012345678901})"), "bad_utf8");
}

TEST(LineToDocument, ComparesALargeNumberAsItStandsThere) {
  ReadOptions options;
  options.filter.keep = {{"id", {"123456789012345678901"}}, {"n", {"3"}}};
  options.fields = {"id", "n"};
  const std::string line = R"({"text": "x", "id": 123456789012345678901, "n": 3})";
  const std::string padded = line + std::string(kLinePadding, ' ');
  LineToDocument::Scratch scratch;
  const Record record = LineToDocument(options)(std::string_view(padded).substr(0, line.size()), {}, scratch);
  ASSERT_TRUE(std::holds_alternative<Document>(record));
  EXPECT_EQ(std::get<Document>(record).fields, (std::vector<std::string>{"123456789012345678901", "3"}));
}

TEST(LineToDocument, FiltersByTheValuesOfAFieldThroughArraysAndObjects) {
  const std::string line =
      R"({"text":"x","meta":{"language":[{"name":"C","bytes":7},{"name":"Perl","bytes":1}],"n":3,"ok":true}})";
  const auto kept = [&line](const RecordFilter& filter) {
    ReadOptions options{layout_named("redpajama")};
    options.filter = filter;
    const std::string padded = line + std::string(kLinePadding, ' ');
    LineToDocument::Scratch scratch;
    const Record record =
        LineToDocument(options)(std::string_view(padded).substr(0, line.size()), {"shard", 0, 1, 0}, scratch);
    return std::holds_alternative<Document>(record);
  };
  EXPECT_TRUE(kept({.keep = {{"lang", {"Perl"}}}}));
  EXPECT_FALSE(kept({.keep = {{"lang", {"Python"}}}}));
  EXPECT_FALSE(kept({.drop = {{"lang", {"C"}}}}));
  EXPECT_TRUE(kept({.keep = {{"meta.n", {"3"}}, {"meta.ok", {"true"}}}}));
  EXPECT_FALSE(kept({.keep = {{"meta.n", {"3"}}, {"meta.ok", {"false"}}}}));
  EXPECT_FALSE(kept({.keep = {{"meta.nowhere", {""}}}}));
  EXPECT_TRUE(kept({.drop = {{"meta.nowhere", {""}}}}));
  EXPECT_FALSE(kept({.drop = {{"meta.language.bytes", {"7"}}}}));
}

TEST(LineToDocument, KeepsTheFieldsAskedFor) {
  ReadOptions options{layout_named("redpajama")};
  options.fields = {"url", "lang", "meta.n"};
  const std::string line = R"({"text":"x","meta":{"url":"u","n":3,"language":"en"}})";
  const std::string padded = line + std::string(kLinePadding, ' ');
  LineToDocument::Scratch scratch;
  const Record record =
      LineToDocument(options)(std::string_view(padded).substr(0, line.size()), {"shard", 0, 1, 0}, scratch);
  EXPECT_EQ(std::get<Document>(record).fields, (std::vector<std::string>{"u", "en", "3"}));
}

TEST(LineToDocument, NamesWhatItFoundInsteadOfText) {
  EXPECT_EQ(cause("[1]"), "not_object");
  EXPECT_EQ(cause("12"), "not_object");
  EXPECT_EQ(cause("{}"), "missing_field");
  EXPECT_EQ(cause(R"({"TEXT": "x"})"), "missing_field");
  EXPECT_EQ(cause(R"({"text": null})"), "wrong_type");
  EXPECT_EQ(cause(R"({"text": ""})"), "empty_text");
  EXPECT_EQ(text(R"({"text": 12})"), "rejected: field \"text\" is a number, expected a string");
}

}  // namespace
}  // namespace millrace
