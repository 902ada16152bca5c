#include "pipeline/keys/toml_writer.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/config/mix_file.h"
#include "pipeline/keys/config_table.h"
#include "stages/errors.h"
#include "tests/property.h"
#include "tests/utf8_text.h"

namespace millrace {
namespace {

constexpr int kWrittenCases = 300;

TEST(WrittenToml, ComesBackTheSameWhateverIsInIt) {
  expect_holds(kWrittenCases, [](bool flag, double real) {
    const std::string text = *utf8_text();
    const std::vector<std::string> texts{*utf8_text(), *utf8_text()};
    const std::map<std::string, std::vector<std::string>> members{{*utf8_text(), texts}, {*utf8_text(), {}}};
    const auto number = *rc::gen::element<std::uint64_t>(0, 1, 1ull << 53, (1ull << 53) + 1, 1ull << 63, ~0ull);
    TomlWriter toml;
    toml.add("text", text);
    toml.begin_table("table");
    toml.add("flag", flag);
    toml.add("number", number);
    toml.add("real", std::abs(real));
    toml.begin_element("element");
    toml.add("texts", texts);
    toml.begin_element("element");
    toml.add("members", members);
    const ConfigTable read = ConfigTable::parse(toml.text(), "written.toml");
    RC_ASSERT(read.text("text") == text);
    RC_ASSERT(read.table("table").flag("flag", !flag) == flag);
    RC_ASSERT(read.table("table").count("number", WholeRange{.most = ~0ull}) == number);
    RC_ASSERT(read.table("table").number("real", NumberRange{.most = std::numeric_limits<double>::max()}) ==
              std::abs(real));
    RC_ASSERT(read.tables("element").at(0).texts("texts") == texts);
    const ConfigTable again = read.tables("element").at(1).table("members");
    RC_ASSERT(again.keys().size() == members.size());
    for (const auto& [key, values] : members) RC_ASSERT(again.texts(key) == values);
  });
}

/// Hashes of these texts are stored in outputs and run folders.
TEST(WrittenToml, IsTheBytesThatEarlierProgramsWrote) {
  const std::string mix =
      "name = \"a \\\"mix\\\"\"\n\n"
      "[[corpus]]\nname = \"prose\"\nkind = \"text\"\nshare = 66.6\nshards = [\"a/*.jsonl\", \"b\\\\c\"]\nlayout = "
      "\"custom\"\ntext_field = \"meta.body\"\nkeep = {\"lang\" = [\"en\", \"de\"], \"meta.source\" = [\"w\"]}\n"
      "where = \"n > 3\"\n\n"
      "[[corpus]]\nname = \"code\"\nkind = \"code\"\nshare = 33.4\nshards = [\"caf\u00e9\"]\nmax_epochs = 2.5\n"
      "at_end = \"stop\"\n";
  EXPECT_EQ(to_toml(mix_from_toml(mix, "mix.toml")), mix);
}

TEST(MixText, WithTwoRulesForOneFieldIsRefused) {
  const auto complaint = [](const std::string& rules) -> std::string {
    try {
      (void)mix_from_toml("name = \"m\"\n[[corpus]]\nname = \"c\"\nshare = 100\nshards = \"x\"\nkeep = " + rules + "\n",
                          "mix.toml");
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(complaint("{\"a.b\" = 1, \"a.c\" = 2}"), "");
  EXPECT_THAT(
      complaint("{\"a.b\" = 1, a = {b = 2}}"),
      testing::AllOf(testing::HasSubstr("mix.toml:6:"), testing::HasSubstr("names the field \"a.b\" once more")));
}

}  // namespace
}  // namespace millrace
