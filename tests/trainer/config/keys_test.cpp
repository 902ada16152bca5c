// Tests every key of the tables that read, write, check and describe run files and config.json.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "model/config/model_fields.h"
#include "pipeline/config/described_keys.h"
#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "pipeline/config/stream_keys.h"
#include "stages/errors.h"
#include "tests/property.h"
#include "tests/trainer/file_text.h"
#include "tests/utf8_text.h"
#include "trainer/config/key_reference.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int kCases = 100;

template <class Use>
void for_each_table(const Use& use) {
  use(run_keys());
  use(phase_keys());
  use(data_keys());
  use(model_keys());
  for (const KeyTable<TrainConfig>& table : train_keys()) use(table);
}

std::string refusal(const auto& reading) {
  try {
    reading();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

KeyValue any_value(const KeyRange& range) {
  if (const auto* whole = std::get_if<WholeRange>(&range)) {
    const std::uint64_t steps = (whole->most - whole->least) / whole->multiple_of;
    const std::uint64_t drawn = *rc::gen::oneOf(rc::gen::arbitrary<std::uint64_t>(), rc::gen::just<std::uint64_t>(0),
                                                rc::gen::just(std::numeric_limits<std::uint64_t>::max()));
    return whole->least +
           whole->multiple_of * (steps == std::numeric_limits<std::uint64_t>::max() ? drawn : drawn % (steps + 1));
  }
  if (const auto* number = std::get_if<NumberRange>(&range)) {
    const double part = static_cast<double>(*rc::gen::inRange<std::uint64_t>(1, 1'000'000)) / 1'000'000;
    const double most = std::min(number->most, *rc::gen::element(1.0, 1e-3, 1e30));
    return std::max(number->least, number->least + part * (most - number->least));
  }
  if (const auto* choices = std::get_if<Choices>(&range)) return *rc::gen::elementOf(choices->names);
  if (std::holds_alternative<Path>(range)) return std::string("/a/b.c");
  if (std::holds_alternative<Texts>(range)) return std::vector<std::string>{*utf8_text(), *utf8_text()};
  if (std::holds_alternative<Text>(range)) return *utf8_text();
  return *rc::gen::arbitrary<bool>();
}

/// TOML values outside the range.
std::vector<std::string> values_outside(const KeyRange& range) {
  std::vector<std::string> values{"[[1]]", "2000-01-01"};
  if (const auto* whole = std::get_if<WholeRange>(&range)) {
    for (const char* never : {"-1", "0.5", "nan", "\"1\"", "true", "18446744073709551616"}) values.emplace_back(never);
    if (whole->least > 0) values.push_back(fmt::format("{}", whole->least - 1));
    if (whole->most < std::numeric_limits<std::uint64_t>::max()) values.push_back(fmt::format("{}", whole->most + 1));
    if (whole->multiple_of > 1) values.push_back(fmt::format("{}", whole->least + 1));
  } else if (const auto* number = std::get_if<NumberRange>(&range)) {
    for (const char* never : {"-1", "nan", "inf", "\"1\"", "true", "1e300"}) values.emplace_back(never);
    values.push_back(fmt::format("{}", number->least_excluded ? number->least : std::nextafter(number->least, -1)));
    values.push_back(fmt::format("{}", number->most_excluded ? number->most : std::nextafter(number->most, INFINITY)));
  } else if (std::holds_alternative<Choices>(range)) {
    for (const char* never : {"\"nonsense\"", "\"\"", "1", "true"}) values.emplace_back(never);
  } else {
    values.emplace_back("5");
    if (std::holds_alternative<Flag>(range)) values.emplace_back("\"true\"");
  }
  return values;
}

/// Counts the members of an aggregate.
struct Anything {
  template <class Value>
  operator Value() const;  // NOLINT(google-explicit-constructor): stands for any member
};
template <class Aggregate, class... Members>
constexpr std::size_t members_of() {
  if constexpr (requires { Aggregate{Members{}..., Anything{}}; }) {
    return members_of<Aggregate, Members..., Anything>();
  } else {
    return sizeof...(Members);
  }
}

std::size_t members_in(const auto& table) {
  std::size_t members = 0;
  for (const auto& key : table.keys()) members += key.get ? 1 : 0;
  return members;
}

TEST(Keys, HoldEveryMemberOfWhatTheyConfigure) {
  EXPECT_EQ(members_in(model_keys()), members_of<ModelConfig>());
  std::size_t of_training = 0;
  for (const KeyTable<TrainConfig>& table : train_keys()) of_training += members_in(table);
  EXPECT_EQ(of_training, members_of<TrainConfig>());
  EXPECT_EQ(members_in(run_keys()) + members_in(data_keys()) + 1, members_of<StreamConfig>());  // And the phases.
  EXPECT_EQ(members_in(phase_keys()) + 2, members_of<Phase>());                                 // Mix and objective.
}

template <class Config>
Config any_config(const KeyTable<Config>& table) {
  Config config = table.defaults();
  for (const auto& key : table.keys())
    if (key.set) key.set(config, any_value(key.rule.range));
  return config;
}

TEST(Keys, ComeBackTheSameThroughToml) {
  for_each_table([](const auto& table) {
    expect_holds(kCases, [&] {
      const auto config = any_config(table);
      TomlWriter toml;
      table.write(config, toml);
      auto again = table.defaults();
      const ConfigTable read = ConfigTable::parse(toml.text(), "run.toml");
      table.read(read, again, Missing::keeps_its_value);
      read.refuse_unknown_keys();
      for (const auto& key : table.keys()) {
        if (key.get && (!key.matters || key.matters(config))) RC_ASSERT(key.get(again) == key.get(config));
      }
    });
  });
}

TEST(Keys, ComeBackTheSameThroughJson) {
  for_each_table([](const auto& table) {
    expect_holds(kCases, [&] {
      const auto config = any_config(table);
      Json object;
      table.write_all(config, object);
      auto again = table.defaults();
      table.read(JsonValue::parse(object.dump(), {"config.json", 0, ""}), again);
      RC_ASSERT(table.differences(config, again).empty());
    });
  });
}

TEST(Keys, OutOfTheirRangeAreRefusedByPlaceAndName) {
  for_each_table([](const auto& table) {
    for (const auto& key : table.keys()) {
      if (!key.set) continue;
      for (const std::string& value : values_outside(key.rule.range)) {
        auto config = table.defaults();
        const std::string text = fmt::format("\n{} = {}\n", key.rule.name, value);
        const std::string said =
            refusal([&] { table.read(ConfigTable::parse(text, "run.toml"), config, Missing::keeps_its_value); });
        EXPECT_THAT(said, AllOf(StartsWith("run.toml:2:1: " + key.rule.name), HasSubstr(" "))) << text;
        EXPECT_TRUE(said.find("expected") != std::string::npos || said.find("not finite") != std::string::npos) << said;
      }
    }
  });
}

TEST(Keys, OutOfTheirRangeAreRefusedInConfigJsonToo) {
  for (const auto& [rule, get, set, matters] : model_keys().keys()) {
    if (!set) continue;
    std::vector<Json> values{"text", Json::array({1}), Json::object()};
    if (const auto* whole = std::get_if<WholeRange>(&rule.range)) {
      values.insert(values.end(), {-1, 0.5, true, whole->most + 1});
      if (whole->multiple_of > 1) values.emplace_back(whole->least + 1);
      if (whole->least > 0) values.emplace_back(whole->least - 1);
    } else if (const auto* number = std::get_if<NumberRange>(&rule.range)) {
      values.insert(values.end(), {-1, true, number->most * 2});
    } else {
      values.insert(values.end(), {1, -1});
    }
    for (const Json& value : values) {
      Json object = Json::parse(model_config_json(model_preset("openmoe-micro")));
      object[rule.name] = value;
      const std::string said = refusal([&] { parse_model_config(object.dump(), "config.json"); });
      EXPECT_THAT(said, AllOf(StartsWith(fmt::format("config.json: \"{}\" is ", rule.name)), HasSubstr("expected")))
          << value;
    }
  }
}

TEST(Keys, OutOfTheirRangeAreRefusedInAConfigurationThatWasNeverRead) {
  for_each_table([](const auto& table) {
    for (const auto& key : table.keys()) {
      const auto* whole = std::get_if<WholeRange>(&key.rule.range);
      if (!key.set || whole == nullptr || whole->least == 0) continue;
      auto config = table.defaults();
      for (const auto& other : table.keys())
        if (const auto* range = std::get_if<WholeRange>(&other.rule.range)) other.set(config, range->least);
      key.set(config, whole->least - 1);
      EXPECT_THAT(refusal([&] { table.check(config, "here"); }),
                  HasSubstr(fmt::format("here: \"{}\" is ", key.rule.name)));
    }
  });
}

TEST(Keys, MistypedAreAnsweredWithTheClosestOne) {
  for_each_table([](const auto& table) {
    for (const auto& key : table.keys()) {
      if (!key.set || key.rule.name.size() < 4) continue;
      auto config = table.defaults();
      const ConfigTable read = ConfigTable::parse(key.rule.name + "_ = 1\n", "run.toml");
      table.read(read, config, Missing::keeps_its_value);
      EXPECT_EQ(refusal([&] { read.refuse_unknown_keys(); }),
                fmt::format("run.toml:1:1: {0}_ is not a known key (did you mean \"{0}\"?)", key.rule.name));
    }
  });
}

TEST(Keys, ThatDoNothingBesideTheOthersAreRefused) {
  const KeyTable<TrainConfig>& table = train_keys().front();
  std::size_t tried = 0;
  for (const auto& key : table.keys()) {
    if (!key.matters || key.matters(table.defaults())) continue;
    TrainConfig config;
    const std::string text = fmt::format("{} = {}\n", key.rule.name, value_text(key.get(config)));
    EXPECT_EQ(refusal([&] { table.read(ConfigTable::parse(text, "run.toml"), config); }),
              fmt::format("run.toml:1:1: {} does nothing without {}", key.rule.name, key.rule.needs));
    ++tried;
  }
  EXPECT_GE(tried, 6U);
}

TEST(Keys, ArePutDownInTheDocs) {
  EXPECT_EQ(text_of(std::filesystem::path(MILLRACE_SOURCE_DIR) / "docs" / "keys.md"), key_reference())
      << "docs/keys.md is what `millrace keys` prints";
}

TEST(Keys, HaveOneLineEachInTheDocs) {
  const std::string reference = key_reference();
  for_each_table([&](const auto& table) {
    for (const auto& key : table.keys()) {
      EXPECT_THAT(reference, HasSubstr(fmt::format("\n| `{}` | ", key.rule.name)));
      EXPECT_NE(key.rule.meaning, "") << key.rule.name;
    }
  });
}

/// The reader knows every described key: for a misspelt one it suggests the right one.
void expect_known(const DescribedTable& table, const std::string& before, const std::string& behind, const auto& read) {
  ASSERT_FALSE(table.keys.empty());
  EXPECT_EQ(refusal([&] { read(before + behind); }), "accepted") << before << behind;
  for (const KeyRule& rule : table.keys) {
    const std::string text = fmt::format("{}{}_ = 1\n{}", before, rule.name, behind);
    EXPECT_THAT(refusal([&] { read(text); }),
                HasSubstr(fmt::format("{0}_ is not a known key (did you mean \"{0}\"?)", rule.name)))
        << text;
  }
}

TEST(Keys, OfMixesAreThoseThatTheirReaderKnows) {
  const auto read = [](const std::string& text) { mix_from_toml(text, "mix.toml"); };
  const std::string corpus = "name = \"a\"\nshare = 100\nshards = [\"x\"]\n";
  const std::vector<DescribedTable> tables = mix_file_tables();
  ASSERT_EQ(tables.size(), 3U);
  expect_known(tables[0], "name = \"m\"\n", "[[corpus]]\n" + corpus, read);
  expect_known(tables[1], "name = \"m\"\n[[corpus]]\n" + corpus, "", read);
  expect_known(tables[2], "name = \"m\"\n[[group]]\nname = \"g\"\nshare = 100\n", "[[group.corpus]]\n" + corpus, read);
}

TEST(Keys, OfObjectivesAreThoseThatTheirReaderKnows) {
  const auto read = [](const std::string& text) { objective_from_toml(text, "objective.toml"); };
  const std::string denoiser = "name = \"s\"\nshare = 100\nmean_span = 3\nmask_ratio = 0.15\n";
  const std::vector<DescribedTable> tables = objective_file_tables();
  ASSERT_EQ(tables.size(), 2U);
  expect_known(tables[0], "name = \"o\"\n", "[[denoiser]]\n" + denoiser, read);
  expect_known(tables[1], "name = \"o\"\n[[denoiser]]\n" + denoiser, "", read);
}

}  // namespace
}  // namespace millrace
