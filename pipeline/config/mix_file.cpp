#include "pipeline/config/mix_file.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "pipeline/config/corpus_name.h"
#include "pipeline/config/share_percent.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/keys/toml_writer.h"
#include "stages/errors.h"
#include "stages/parquet/row_condition.h"

namespace millrace {
namespace {

constexpr double kMostEpochs = 1e9;

/// keep = {lang = ["en", "de"], "meta.source" = "arxiv"}; meta.source = ... without quotes says the same.
void read_rules(const ConfigTable& table, const std::string& prefix, std::vector<FieldRule>& rules) {
  for (const std::string& key : table.keys()) {
    if (table.is_table(key)) {
      read_rules(table.table(key), prefix + key + ".", rules);
      continue;
    }
    if (std::ranges::find(rules, prefix + key, &FieldRule::field) != rules.end())
      table.fail(key, fmt::format("names the field {} once more: a field has one rule", quoted(prefix + key)));
    rules.push_back({prefix + key, table.values(key)});
    if (rules.back().values.empty()) table.fail(key, "is an empty list: name the values, or drop the rule");
  }
}

RecordLayout known_layout(const ConfigTable& table, const std::string& name) {
  try {
    return layout_named(name);
  } catch (const ConfigError& error) {
    table.fail("layout", fmt::format("is unknown: {}", error.what()));
  }
}

void read_layout(const ConfigTable& table, Corpus& corpus) {
  corpus.text_field = table.text("text_field", "");
  corpus.layout = table.text("layout", corpus.text_field.empty() ? "" : "custom");
  if (corpus.layout.empty()) return;
  const RecordLayout layout = known_layout(table, corpus.layout);
  if (layout.name == "custom" && corpus.text_field.empty())
    table.fail("layout", "is \"custom\", which needs text_field: the path of the text, such as \"meta.body\"");
  if (layout.is_text() && !corpus.text_field.empty())
    table.fail("text_field", "is not possible with layout \"text\": each file is one document");
}

std::string read_condition(const ConfigTable& table) {
  const std::string where = table.text("where", "");
  if (where.empty()) return where;
  try {
    return RowCondition(where).text();
  } catch (const ConfigError& error) {
    table.fail("where", fmt::format("= \"{}\": {}", where, error.what()));
  }
}

Corpus read_corpus(const ConfigTable& table) {
  Corpus corpus;
  corpus.name = table.text("name");
  if (const std::string why = why_no_corpus_name(corpus.name); !why.empty())
    table.fail("name", fmt::format("{} {}", millrace::quoted(corpus.name), why));
  corpus.kind = table.choice("kind", "text", {"text", "code"}) == "code" ? CorpusKind::code : CorpusKind::text;
  corpus.license = table.text("license", "");
  corpus.share = read_share(table);
  corpus.patterns = table.texts("shards");
  corpus.declared_at = table.place_of("shards");
  if (corpus.patterns.empty()) table.fail("shards", "is missing: name at least one file, folder or glob");
  read_layout(table, corpus);
  read_rules(table.table("keep"), "", corpus.filter.keep);
  read_rules(table.table("drop"), "", corpus.filter.drop);
  corpus.filter.where = read_condition(table);
  corpus.max_epochs = table.number("max_epochs", 0, NumberRange{0, kMostEpochs});
  const std::string at_end =
      table.choice("at_end", corpus.max_epochs > 0 ? "redistribute" : "repeat", {"repeat", "redistribute", "stop"});
  corpus.at_end = at_end == "stop" ? AtEnd::stop : at_end == "repeat" ? AtEnd::repeat : AtEnd::redistribute;
  if (corpus.max_epochs > 0 && corpus.at_end == AtEnd::repeat)
    table.fail("at_end", "is \"repeat\", which has no end: drop max_epochs, or use \"redistribute\" or \"stop\"");
  if (corpus.max_epochs == 0 && corpus.at_end != AtEnd::repeat)
    table.fail("at_end", fmt::format("is \"{}\", which needs max_epochs", at_end));
  table.refuse_unknown_keys();
  return corpus;
}

ShareUnits sum_of(const std::vector<Corpus>& corpora) {
  return std::accumulate(corpora.begin(), corpora.end(), ShareUnits{0},
                         [](ShareUnits total, const Corpus& corpus) { return total + corpus.share; });
}

/// Scales shares to sum to `total` exactly; what rounding leaves goes to the largest remainders.
void scale(std::vector<Corpus>& corpora, ShareUnits total) {
  __extension__ using Wide = unsigned __int128;
  const ShareUnits sum = std::max(sum_of(corpora), ShareUnits{1});  // Shares are above 0.
  std::vector<std::pair<ShareUnits, std::size_t>> remainders;
  ShareUnits left = total;
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    const Wide scaled = Wide{corpora[i].share} * total;
    corpora[i].share = static_cast<ShareUnits>(scaled / sum);
    remainders.emplace_back(static_cast<ShareUnits>(scaled % sum), i);
    left -= corpora[i].share;
  }
  std::ranges::stable_sort(remainders, [](const auto& a, const auto& b) { return a.first > b.first; });
  for (std::size_t i = 0; i < left; ++i) ++corpora[remainders[i].second].share;
}

/// Shares of a table's members are of 100 %, unless it says normalize = true.
void check_sum(const ConfigTable& table, std::vector<Corpus>& members, ShareUnits total) {
  const bool normalized = table.flag("normalize", false);
  if (!normalized && sum_of(members) != kShareUnits)
    table.fail("corpus", fmt::format("shares sum to {} %, expected 100: correct them, or set normalize = true",
                                     percent(sum_of(members))));
  if (normalized || total != kShareUnits) scale(members, total);
}

/// The corpora of [[corpus]] and, behind them, of [[group]] tables. A group's members have their shares of its share.
std::vector<Corpus> read_members(const ConfigTable& table, std::set<std::string>& names) {
  const auto claim = [&names](const ConfigTable& member) {
    if (!names.insert(member.text("name")).second)
      member.fail("name", fmt::format("\"{}\" names two corpora or groups", member.text("name")));
  };
  std::vector<Corpus> members;
  for (const ConfigTable& corpus : table.tables("corpus")) {
    members.push_back(read_corpus(corpus));
    claim(corpus);
  }
  for (const ConfigTable& group : table.tables("group")) {
    claim(group);
    std::vector<Corpus> inner = read_members(group, names);
    if (inner.empty()) group.fail("corpus", "is missing: a group needs at least one [[group.corpus]]");
    check_sum(group, inner, read_share(group));
    for (Corpus& corpus : inner) {
      corpus.groups.push_back(group.text("name"));
      if (corpus.share == 0) group.fail("corpus", fmt::format("\"{}\" is left with no share at all", corpus.name));
      members.push_back(std::move(corpus));
    }
    group.refuse_unknown_keys();
  }
  return members;
}

bool is_called(const Corpus& corpus, const std::string& name) {
  return corpus.name == name || std::ranges::find(corpus.groups, name) != corpus.groups.end();
}

/// `chain`: the files that extend this one.
Mix read_mix(const ConfigTable& table, std::vector<std::filesystem::path> chain) {
  chain.push_back(std::filesystem::weakly_canonical(table.file()));

  Mix mix;
  mix.name = table.text("name");
  mix.file = table.file().string();
  if (table.has("extend")) {
    const std::filesystem::path extended = table.path("extend");
    if (std::ranges::find(chain, std::filesystem::weakly_canonical(extended)) != chain.end())
      table.fail("extend", fmt::format("names {}, which extends this file in turn: a cycle", extended.string()));
    mix.corpora = read_mix(table.file_at("extend"), chain).corpora;
  }
  for (const std::string& name : table.texts("remove")) {
    if (std::erase_if(mix.corpora, [&](const Corpus& corpus) { return is_called(corpus, name); }) == 0)
      table.fail("remove", fmt::format("names \"{}\", which is no corpus or group of the extended mix", name));
  }
  std::set<std::string> names;
  for (Corpus& corpus : read_members(table, names)) {
    const auto inherited = std::ranges::find(mix.corpora, corpus.name, &Corpus::name);
    if (inherited != mix.corpora.end()) {
      *inherited = std::move(corpus);
    } else {
      mix.corpora.push_back(std::move(corpus));
    }
  }
  if (mix.corpora.empty()) table.fail("corpus", "is missing: a mix needs at least one [[corpus]]");
  check_sum(table, mix.corpora, kShareUnits);
  table.refuse_unknown_keys();
  return mix;
}

}  // namespace

Mix read_mix(const ConfigTable& table) {
  return read_mix(table, {});
}

Mix load_mix(const std::filesystem::path& file) {
  return read_mix(ConfigTable::read(file));
}

Mix mix_from_toml(const std::string& text, const std::string& name) {
  return read_mix(ConfigTable::parse(text, name));
}

namespace {

void add_rules(TomlWriter& toml, std::string_view key, const std::vector<FieldRule>& rules) {
  std::map<std::string, std::vector<std::string>> table;
  for (const FieldRule& rule : rules) table[rule.field] = rule.values;
  if (!table.empty()) toml.add(key, table);
}

}  // namespace

std::string to_toml(const Mix& mix) {
  TomlWriter toml;
  toml.add("name", mix.name);
  for (const Corpus& corpus : mix.corpora) {
    toml.begin_element("corpus");
    toml.add("name", corpus.name);
    toml.add("kind", corpus.kind == CorpusKind::code ? "code" : "text");
    if (!corpus.license.empty()) toml.add("license", corpus.license);
    toml.add("share", percent(corpus.share));
    toml.add("shards", corpus.patterns);
    if (!corpus.layout.empty()) toml.add("layout", corpus.layout);
    if (!corpus.text_field.empty()) toml.add("text_field", corpus.text_field);
    add_rules(toml, "keep", corpus.filter.keep);
    add_rules(toml, "drop", corpus.filter.drop);
    if (!corpus.filter.where.empty()) toml.add("where", corpus.filter.where);
    if (corpus.max_epochs > 0) {
      toml.add("max_epochs", corpus.max_epochs);
      toml.add("at_end", corpus.at_end == AtEnd::stop ? "stop" : "redistribute");
    }
  }
  return toml.text();
}

std::string to_toml_of_rows(Mix mix) {
  for (Corpus& corpus : mix.corpora) corpus.license.clear();
  return to_toml(mix);
}

}  // namespace millrace
