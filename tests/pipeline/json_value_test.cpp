#include "pipeline/json_value.h"

#include <functional>
#include <limits>
#include <system_error>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stages/errors.h"
#include "tests/property.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

JsonValue parsed(const std::string& text, std::uint64_t line = 0) {
  return JsonValue::parse(text, {"f.json", line, ""});
}

std::string error_of(const std::function<void()>& use) {
  try {
    use();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(JsonNumber, IsRefusedUnlessTheTypeHoldsIt) {
  EXPECT_EQ(parsed("18446744073709551615").as<std::uint64_t>(), 18446744073709551615u);
  EXPECT_EQ(parsed("-9223372036854775808").as<std::int64_t>(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(parsed("3").as<double>(), 3.0);
  for (const char* text : {"-1", "1.5", "1.0", "18446744073709551616", "1e3", "\"1\"", "true", "null", "[1]", "{}"})
    EXPECT_THROW(parsed(text).as<std::uint64_t>(), ConfigError) << text;
  for (const char* text : {"-1", "4294967296"}) EXPECT_THROW(parsed(text).as<std::uint32_t>(), ConfigError) << text;
  for (const char* text : {"-2147483649", "2147483648"}) EXPECT_THROW(parsed(text).as<int>(), ConfigError) << text;
  EXPECT_THROW(parsed("9223372036854775808").as<std::int64_t>(), ConfigError);
  EXPECT_THROW(parsed("1e400").as<double>(), ConfigError);
  EXPECT_THROW(parsed("true").as<double>(), ConfigError);
  EXPECT_THROW(parsed("1").as<bool>(), ConfigError);
  EXPECT_THROW(parsed("1").as<std::string>(), ConfigError);
}

TEST(JsonComplaint, NamesFilePathFoundAndExpected) {
  const JsonValue json =
      JsonValue::parse(R"({"a": [{"b c": "x"}, {"n": [1, -2]}], "s": 7})", {"f.json", 0, "begin anew"});
  EXPECT_EQ(error_of([&] { json.at("a").elements()[0].get<std::uint32_t>("b c"); }),
            "f.json: a[0][\"b c\"] is \"x\", expected a whole number from 0 to 4294967295; begin anew");
  EXPECT_EQ(error_of([&] { json.at("a").elements()[1].get<std::vector<std::uint64_t>>("n"); }),
            "f.json: a[1].n[1] is -2, expected a whole number from 0 to 18446744073709551615; begin anew");
  EXPECT_EQ(error_of([&] { json.at("a").elements()[1].get<bool>("m"); }),
            "f.json: a[1].m is missing, expected true or false; begin anew");
  EXPECT_EQ(error_of([&] { json.get<std::string>("a"); }), "f.json: a is a list of 2, expected a text; begin anew");
  EXPECT_EQ(error_of([&] { (void)json.at("s").members(); }), "f.json: s is 7, expected an object; begin anew");
  EXPECT_EQ(error_of([&] { (void)json.elements(); }), "f.json: the JSON is an object, expected a list; begin anew");
  EXPECT_EQ(error_of([] { parsed("[]", 12).get<int>("a"); }), "f.json:12: the JSON is a list of 0, expected an object");
}

TEST(JsonComplaint, NamesLineAndColumnOfATextThatIsNone) {
  EXPECT_TRUE(error_of([] { parsed("{\n \"a\": tru}"); }).starts_with("f.json:2:10: not JSON: "));
  EXPECT_TRUE(error_of([] { parsed("{\"a\" 1}", 7); }).starts_with("f.json:7:6: not JSON: "));
  EXPECT_EQ(error_of([] { parsed(""); }), "f.json: is empty, expected JSON");
}

TEST(JsonText, ThatNamesAKeyTwiceIsRefused) {
  EXPECT_EQ(error_of([] { parsed(R"([{"a": 1}, {"a": 1, "b": {"a": 2}, "a": 3}])"); }),
            "f.json: an object has the key \"a\" twice, expected it once");
}

TEST(JsonText, OfAnyDepthIsRefusedWithoutEndingTheStack) {
  const std::size_t deep = 1'000'000;
  EXPECT_EQ(error_of([&] { parsed(std::string(deep, '[') + std::string(deep, ']')); }),
            "f.json: is nested deeper than 64");
}

TEST(JsonComplaint, IsPlainTextWhateverTheBytesAre) {
  expect_holds(2'000, [](const std::string& drawn, bool quoted) {
    const std::string text = quoted ? Json(drawn).dump(-1, ' ', false, Json::error_handler_t::replace) : drawn;
    const std::string error = error_of([&] { (void)parsed(text).at("a").elements(); });
    RC_ASSERT(error.starts_with("f.json"));
    RC_ASSERT(error.find("json.exception") == std::string::npos);
    for (const char c : error) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20);
  });
}

TEST(JsonLines, AreToldByTheirNumber) {
  std::vector<std::uint64_t> numbers;
  for_each_json_line("1\n2\n3", "log.jsonl", "",
                     [&](const JsonValue& json) { numbers.push_back(json.as<std::uint64_t>()); });
  EXPECT_EQ(numbers, (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(error_of([] {
              for_each_json_line("1\n\"x\"\n", "log.jsonl", "remove the line",
                                 [](const JsonValue& json) { json.as<std::uint64_t>(); });
            }),
            "log.jsonl:2: the JSON is \"x\", expected a whole number from 0 to 18446744073709551615; remove the line");
}

TEST(JsonFile, ThatCannotBeReadIsNoEmptyOne) {
  const TemporaryFolder folder;
  EXPECT_THROW(JsonValue::read(folder.path() / "missing.json"), std::system_error);
  EXPECT_THROW(JsonValue::read(folder.path()), std::system_error);
}

}  // namespace
}  // namespace millrace
