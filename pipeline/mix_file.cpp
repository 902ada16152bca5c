#include "pipeline/mix_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "pipeline/config_file.h"
#include "stages/errors.h"

namespace millrace {
namespace {

constexpr double kPercent = 100;
constexpr double kUnitsPerPercent = static_cast<double>(kShareUnits) / kPercent;

double percent(ShareUnits share) {
  return static_cast<double>(share) / kUnitsPerPercent;
}

ShareUnits share_of(const ConfigTable& table) {
  const double share = table.number("share");
  const auto units = static_cast<ShareUnits>(std::max(0.0, std::round(share * kUnitsPerPercent)));
  if (units == 0) table.fail("share", fmt::format("is {}, expected a percentage above 0", share));
  if (share > kPercent) table.fail("share", fmt::format("is {}, expected at most 100", share));
  return units;
}

/// keep = {lang = ["en", "de"], "meta.source" = "arxiv"}; meta.source = ... without quotes says the same.
void read_rules(const ConfigTable& table, const std::string& prefix, std::vector<FieldRule>& rules) {
  for (const std::string& key : table.keys()) {
    if (table.is_table(key)) {
      read_rules(table.table(key), prefix + key + ".", rules);
      continue;
    }
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

Corpus read_corpus(const ConfigTable& table) {
  Corpus corpus;
  corpus.name = table.text("name");
  corpus.kind = table.choice("kind", "text", {"text", "code"}) == "code" ? CorpusKind::code : CorpusKind::text;
  corpus.share = share_of(table);
  corpus.patterns = table.texts("shards");
  corpus.declared_at = table.place_of("shards");
  if (corpus.patterns.empty()) table.fail("shards", "is missing: name at least one file, folder or glob");
  read_layout(table, corpus);
  read_rules(table.table("keep"), "", corpus.filter.keep);
  read_rules(table.table("drop"), "", corpus.filter.drop);
  corpus.filter.where = table.text("where", "");
  corpus.max_epochs = table.number("max_epochs", 0);
  const std::string at_end =
      table.choice("at_end", corpus.max_epochs > 0 ? "redistribute" : "repeat", {"repeat", "redistribute", "stop"});
  corpus.at_end = at_end == "stop" ? AtEnd::stop : at_end == "repeat" ? AtEnd::repeat : AtEnd::redistribute;
  if (corpus.max_epochs < 0) table.fail("max_epochs", "is below 0");
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
  const ShareUnits sum = sum_of(corpora);
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
    check_sum(group, inner, share_of(group));
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

Mix load_mix(const std::filesystem::path& file, std::vector<std::filesystem::path> chain) {
  const ConfigTable table = ConfigTable::read(file);
  chain.push_back(std::filesystem::weakly_canonical(file));

  Mix mix;
  mix.name = table.text("name");
  mix.file = file.string();
  if (table.has("extend")) {
    const std::filesystem::path extended = table.path("extend");
    if (std::ranges::find(chain, std::filesystem::weakly_canonical(extended)) != chain.end())
      table.fail("extend", fmt::format("names {}, which extends this file in turn: a cycle", extended.string()));
    mix.corpora = load_mix(extended, chain).corpora;
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

Denoiser read_denoiser(const ConfigTable& table) {
  Denoiser denoiser;
  denoiser.name = table.text("name");
  const std::string kind = table.choice("kind", "span", {"span", "prefix", "causal"});
  denoiser.kind = kind == "span" ? DenoiserKind::span : kind == "prefix" ? DenoiserKind::prefix : DenoiserKind::causal;
  denoiser.share = static_cast<double>(share_of(table)) / static_cast<double>(kShareUnits);
  denoiser.prompt = table.text("prompt", "");
  if (denoiser.kind == DenoiserKind::span) {
    denoiser.mean_span = table.number("mean_span");
    denoiser.mask_ratio = table.number("mask_ratio");
    if (denoiser.mean_span < 1) table.fail("mean_span", fmt::format("is {}, expected at least 1", denoiser.mean_span));
    if (denoiser.mask_ratio <= 0 || denoiser.mask_ratio >= 1)
      table.fail("mask_ratio", fmt::format("is {}, expected a number between 0 and 1", denoiser.mask_ratio));
  }
  if (denoiser.kind == DenoiserKind::causal && !denoiser.prompt.empty())
    table.fail("prompt", "is not possible for kind \"causal\", whose rows are text from the start");
  table.refuse_unknown_keys();
  return denoiser;
}

}  // namespace

Mix load_mix(const std::filesystem::path& file) {
  return load_mix(file, {});
}

Objective load_objective(const std::filesystem::path& file) {
  const ConfigTable table = ConfigTable::read(file);
  Objective objective;
  objective.name = table.text("name", file.stem().string());
  table.choice("layout", "full", {"full"});
  std::uint64_t sum = 0;
  bool all_causal = true;
  for (const ConfigTable& denoiser_table : table.tables("denoiser")) {
    Denoiser denoiser = read_denoiser(denoiser_table);
    if (std::ranges::find(objective.denoisers, denoiser.name, &Denoiser::name) != objective.denoisers.end())
      denoiser_table.fail("name", fmt::format("\"{}\" names two denoisers", denoiser.name));
    sum += share_of(denoiser_table);
    all_causal = all_causal && denoiser.kind == DenoiserKind::causal;
    objective.denoisers.push_back(std::move(denoiser));
  }
  objective.separator = table.choice("separator", all_causal ? "eos" : "none", {"none", "eos"}) == "eos"
                            ? Separator::eos
                            : Separator::none;
  table.refuse_unknown_keys();
  if (objective.denoisers.empty()) table.fail("denoiser", "is missing: an objective needs at least one [[denoiser]]");
  if (sum != kShareUnits) table.fail("denoiser", fmt::format("shares sum to {} %, expected 100", percent(sum)));
  return objective;
}

namespace {

/// A TOML basic string.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void add_rules(std::string& out, const char* key, const std::vector<FieldRule>& rules) {
  if (rules.empty()) return;
  out += fmt::format("{} = {{", key);
  for (const FieldRule& rule : rules) {
    out += fmt::format("{}{} = [", &rule == &rules.front() ? "" : ", ", quoted(rule.field));
    for (const std::string& value : rule.values)
      out += fmt::format("{}{}", &value == &rule.values.front() ? "" : ", ", quoted(value));
    out += "]";
  }
  out += "}\n";
}

}  // namespace

std::string to_toml(const Mix& mix) {
  std::string out = fmt::format("name = {}\n", quoted(mix.name));
  for (const Corpus& corpus : mix.corpora) {
    out += fmt::format("\n[[corpus]]\nname = {}\nkind = \"{}\"\nshare = {}\nshards = [", quoted(corpus.name),
                       corpus.kind == CorpusKind::code ? "code" : "text", percent(corpus.share));
    for (std::size_t i = 0; i < corpus.patterns.size(); ++i) out += (i > 0 ? ", " : "") + quoted(corpus.patterns[i]);
    out += "]\n";
    if (!corpus.layout.empty()) out += fmt::format("layout = {}\n", quoted(corpus.layout));
    if (!corpus.text_field.empty()) out += fmt::format("text_field = {}\n", quoted(corpus.text_field));
    add_rules(out, "keep", corpus.filter.keep);
    add_rules(out, "drop", corpus.filter.drop);
    if (!corpus.filter.where.empty()) out += fmt::format("where = {}\n", quoted(corpus.filter.where));
    if (corpus.max_epochs > 0)
      out += fmt::format("max_epochs = {}\nat_end = \"{}\"\n", corpus.max_epochs,
                         corpus.at_end == AtEnd::stop ? "stop" : "redistribute");
  }
  return out;
}

std::string to_toml(const Objective& objective) {
  std::string out = fmt::format("name = {}\nlayout = \"full\"\nseparator = \"{}\"\n", quoted(objective.name),
                                objective.separator == Separator::eos ? "eos" : "none");
  for (const Denoiser& denoiser : objective.denoisers) {
    static constexpr std::array<const char*, 3> kinds{"span", "prefix", "causal"};
    out += fmt::format("\n[[denoiser]]\nname = {}\nkind = \"{}\"\nshare = {}\n", quoted(denoiser.name),
                       kinds[static_cast<std::size_t>(denoiser.kind)], denoiser.share * kPercent);
    if (denoiser.kind == DenoiserKind::span)
      out += fmt::format("mean_span = {}\nmask_ratio = {}\n", denoiser.mean_span, denoiser.mask_ratio);
    if (!denoiser.prompt.empty()) out += fmt::format("prompt = {}\n", quoted(denoiser.prompt));
  }
  return out;
}

}  // namespace millrace
