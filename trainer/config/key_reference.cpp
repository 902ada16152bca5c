#include "trainer/config/key_reference.h"

#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/config/described_keys.h"
#include "pipeline/config/stream_keys.h"
#include "trainer/config/grid_config.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"

namespace millrace {
namespace {

constexpr const char* kHead =
    R"(# Every key

What `millrace keys` prints: made from the tables by which the program itself reads, checks and writes the keys. What
they are for: [runs.md](runs.md), [mixes.md](mixes.md), [objectives.md](objectives.md), [model.md](model.md).

An unknown key is an error that names file, line and column, and the known key closest to it. A value out of its range is
refused in the same way, with the range. `--set table.key=value` replaces a key of a run file from the command line,
`--set phase.0.until=5e9` one of a list of tables, `--set phase.0.objective.inputs=128` one of a file that the run names:
[runs.md](runs.md#--set).

| type | how it is written |
| --- | --- |
| flag | `true`, `false` |
| whole number | `780_000`, `780e9`: exact, up to 2^53 with an exponent |
| number | `0.001`, `1e-6`; where only "at least" or "above" stands, at most 3.4e38, which f32 holds |
| choice | one of the texts of the range |
| text, path | in quotes; a path is relative to the file it stands in, with `--set` to the current folder |
| texts | `["a", "b"]`; one text is a list of one |
| table | `[key]`, `[[key]]` or `{}` with keys of their own |

**alters** says what a key makes other in a run that was begun: *rows*: what rows were made of cannot be changed, later
phases can, with `--accept-changes`; *losses*: asked for by `--accept-changes`; *nothing*: free. *By phase*: a phase may say the key
otherwise, in `[phase.model]` or `[phase.train]`.
)";

std::string section(std::string_view title, const std::string& table) {
  return fmt::format("\n{}\n\n{}", title, table);
}

std::string file_tables(const std::vector<DescribedTable>& tables, std::string_view file) {
  std::string text = fmt::format("\n## {} file\n", file);
  for (const DescribedTable& table : tables) {
    if (!table.name.empty()) text += fmt::format("\n### `{}`\n", table.name);
    text += fmt::format("\n{}", key_table_head());
    for (const KeyRule& rule : table.keys) text += key_line(rule, nullptr);
  }
  return text;
}

/// What differs in a config.json.
std::string config_json_notes() {
  std::vector<std::string> required;
  std::vector<std::string> older;
  for (const auto& [rule, get, set, matters] : model_keys().keys()) {
    if (rule.required) required.push_back(fmt::format("`{}`", rule.name));
    if (!rule.older.empty()) older.push_back(fmt::format("`{}` for `{}`", rule.older, rule.name));
  }
  return fmt::format(
      "\nThe keys of `[model]` but `preset` are also those of a checkpoint's `config.json`: "
      "[model.md](model.md#configjson). "
      "There must be {}. Older names are read too: {}.\n",
      fmt::join(required, ", "), fmt::join(older, ", "));
}

}  // namespace

std::string key_reference() {
  std::string text = kHead;
  text += section("## Run file", run_keys().markdown());
  text += section("### `[[phase]]`", phase_keys().markdown());
  text += section("### `[data]`", data_keys().markdown());
  text += section("### `[model]`", model_keys().markdown());
  text += config_json_notes();
  for (const KeyTable<TrainConfig>& keys : train_keys())
    text += section(fmt::format("### `[{}]`", keys.name()), keys.markdown());
  text += section(fmt::format("### `[{}]`", grid_keys().name()), grid_keys().markdown());
  text += file_tables(mix_file_tables(), "Mix");
  text += file_tables(objective_file_tables(), "Objective");
  return text;
}

}  // namespace millrace
