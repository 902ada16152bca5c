#include "stages/shards/json_parser.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace millrace {
namespace {

namespace dom = simdjson::dom;

simdjson::error_code error_of(JsonParser& parser, const std::string& text) {
  const std::string padded = text + std::string(simdjson::SIMDJSON_PADDING, ' ');
  dom::element root;
  return parser.parse(std::string_view(padded).substr(0, text.size()), root);
}

bool is_json(const std::string& text) {
  JsonParser parser;
  return error_of(parser, text) == simdjson::SUCCESS;
}

/// The text of the field "n".
std::string number_in(const std::string& text) {
  const std::string padded = text + std::string(simdjson::SIMDJSON_PADDING, ' ');
  JsonParser parser;
  dom::element root;
  dom::element number;
  if (parser.parse(std::string_view(padded).substr(0, text.size()), root) != simdjson::SUCCESS) return "no JSON";
  return root["n"].get(number) == simdjson::SUCCESS ? parser.text_of(number) : "no field";
}

TEST(Json, TakesNumbersOfAnySizeAndLength) {
  const std::string digits(10'000, '7');
  for (const std::string& number :
       {std::string("18446744073709551616"), std::string("-9223372036854775809"), std::string("1e400"),
        std::string("-1E+999"), std::string("1e-400"), std::string("0e99999999999999999999"), digits, "-" + digits,
        "0." + digits, digits + "." + digits + "e" + digits, "1e-" + digits}) {
    EXPECT_TRUE(is_json(number)) << number.substr(0, 40);
    EXPECT_TRUE(is_json("{\"text\": \"x\", \"n\": " + number + "}")) << number.substr(0, 40);
    EXPECT_TRUE(is_json("[1, [" + number + " ],\t" + number + "\r,2]")) << number.substr(0, 40);
  }
}

TEST(Json, RefusesWhatIsNoNumberThoughOneBesideItIsTooLarge) {
  for (const char* wrong :
       {"01",   "-",     "+1", ".5",  "1.",  "1.e3",      "1e",    "1e+", "--1",   "1-1",    "1.2.3",
        "0x10", "1e5.0", "00", "-01", "NaN", "-Infinity", "1_000", "1 2", "1true", "1\"a\"", "99999999999999999999x"}) {
    EXPECT_FALSE(is_json(std::string("[") + wrong + "]")) << wrong;
    EXPECT_FALSE(is_json(std::string("[99999999999999999999, ") + wrong + "]")) << wrong;
    EXPECT_FALSE(is_json(std::string("[") + wrong + ", 1e999]")) << wrong;
  }
}

TEST(Json, StaysStrictInATextWithANumberThatFitsNoType) {
  const std::string large = "123456789012345678901234567890";
  for (const std::string& tail :
       {std::string(",]"), std::string(", tru]"), std::string(", \"\\x\"]"), std::string("] 1"),
        std::string(", \"tab\there\"]"), std::string(", {\"a\" 1}]"), std::string(",{1: 2}]"), std::string(""),
        std::string("}"), std::string(", \"unclosed]"), std::string("]]")})
    EXPECT_FALSE(is_json("[" + large + tail)) << tail;
}

TEST(Json, LooksForNumbersOutsideOfStringsOnly) {
  EXPECT_EQ(number_in(R"({"a": "99999999999999999999 01 \" 02 \\", "n": 99999999999999999999})"),
            "99999999999999999999");
  EXPECT_EQ(number_in(R"({"01": 1e999, "n": "1."})"), "\"1.\"");
}

TEST(Json, WritesANumberThatFitsNoTypeAsItStandsAndItsNeighboursAsEver) {
  EXPECT_EQ(number_in(R"({"m": 1, "n": -123456789012345678901234567890})"), "-123456789012345678901234567890");
  for (const char* number : {"0", "-17", "1.50", "1e2", "18446744073709551615", "true", "null", "-0.0"}) {
    const std::string alone = number_in(std::string("{\"n\": ") + number + "}");
    EXPECT_EQ(number_in(std::string("{\"m\": 1e999, \"n\": ") + number + "}"), alone);
  }
}

TEST(Json, CountsEmptyArraysAndObjectsTowardDepthAsOthers) {
  const auto nested = [](std::size_t depth, const std::string& innermost) {
    return std::string(depth, '[') + innermost + std::string(depth, ']');
  };
  constexpr std::size_t kDeepest = JsonParser::kDeepestNesting;
  JsonParser parser;
  EXPECT_EQ(error_of(parser, nested(kDeepest, "")), simdjson::SUCCESS);
  EXPECT_EQ(error_of(parser, nested(kDeepest, "1")), simdjson::SUCCESS);
  EXPECT_EQ(error_of(parser, nested(kDeepest, R"("[[[[{{{{")")), simdjson::SUCCESS);
  EXPECT_EQ(error_of(parser, nested(kDeepest - 1, "{}")), simdjson::SUCCESS);
  EXPECT_EQ(error_of(parser, nested(kDeepest - 1, "[], {}, [1]")), simdjson::SUCCESS);
  for (const char* innermost : {"[]", "{}", "[1]", "1, []", "{\"a\": {}}", "[[], 1]"})
    EXPECT_EQ(error_of(parser, nested(kDeepest, innermost)), simdjson::DEPTH_ERROR) << innermost;
  EXPECT_EQ(error_of(parser, nested(kDeepest, "1e999")), simdjson::SUCCESS);
  EXPECT_EQ(error_of(parser, nested(kDeepest, "1e999, []")), simdjson::DEPTH_ERROR);
  EXPECT_EQ(error_of(parser, "[1]"), simdjson::SUCCESS) << "after deep ones";
}

/// A random value as JSON text, with numbers of any length and blanks anywhere.
std::string random_value(int depth) {
  const auto digits = [] {
    return *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange('0', static_cast<char>('9' + 1))));
  };
  const std::string blank = *rc::gen::element<std::string>("", " ", "\t", " \r ");
  switch (*rc::gen::inRange(0, depth > 0 ? 7 : 5)) {
    case 0: {
      std::string number = *rc::gen::element<std::string>("", "-");
      const std::string whole = digits();
      const std::size_t first = whole.find_first_not_of('0');
      number += first == std::string::npos ? "0" : whole.substr(first);
      if (*rc::gen::arbitrary<bool>()) number += "." + digits();
      if (*rc::gen::arbitrary<bool>()) number += *rc::gen::element<std::string>("e", "E", "e+", "E-") + digits();
      return blank + number + blank;
    }
    case 1:
      return blank + *rc::gen::element<std::string>("true", "false", "null") + blank;
    case 2:
      return std::string(25, '9') + blank;
    case 3:
    case 4:
      return blank + *rc::gen::element<std::string>(R"("")", R"("a\"9")", R"("\\")", R"("\u00e9 1e")", R"("[{")") +
             blank;
    default: {
      const bool is_object = *rc::gen::arbitrary<bool>();
      const int count = *rc::gen::inRange(0, 4);
      std::string text = is_object ? "{" : "[";
      for (int i = 0; i < count; ++i)
        text += (i > 0 ? "," : "") + (is_object ? "\"k\"" + blank + ":" : std::string()) + random_value(depth - 1);
      return blank + text + (is_object ? "}" : "]") + blank;
    }
  }
}

RC_GTEST_PROP(JsonProperty, TakesWhateverTheGrammarMakes, ()) {
  const std::string text = "[" + random_value(4) + "]";
  RC_ASSERT(is_json(text));
}

}  // namespace
}  // namespace millrace
