#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/results.h"
#include "cli/console/text_table.h"
#include "pipeline/config/mix_file.h"
#include "pipeline/json_text.h"
#include "pipeline/keys/config_table.h"
#include "stages/errors.h"

namespace millrace {
namespace {

/// A corpus in two mixes; it may be missing in one of them.
struct Pair {
  const Corpus& any;  ///< From `after` if present there.
  const Corpus* before = nullptr;
  const Corpus* after = nullptr;
};

struct KindShares {
  double text = 0;
  double code = 0;
};

double percent(const Corpus* corpus) {
  return corpus == nullptr ? 0 : 100 * static_cast<double>(corpus->share) / static_cast<double>(kShareUnits);
}

Mix load_one(const std::string& file) {
  if (std::filesystem::is_regular_file(file) && ConfigTable::read(file).has("phase"))
    throw ConfigError(fmt::format("{}: is a run; name the mixes of its phases", file));
  return load_mix(file);
}

/// Corpora of `before` in its order, then those that are new.
std::vector<Pair> pairs_of(const Mix& before, const Mix& after) {
  std::vector<Pair> pairs;
  for (const Corpus& corpus : before.corpora) {
    const auto found = std::ranges::find(after.corpora, corpus.name, &Corpus::name);
    const Corpus* in_after = found == after.corpora.end() ? nullptr : &*found;
    pairs.push_back({in_after != nullptr ? *in_after : corpus, &corpus, in_after});
  }
  for (const Corpus& corpus : after.corpora) {
    if (std::ranges::find(before.corpora, corpus.name, &Corpus::name) == before.corpora.end())
      pairs.push_back({corpus, nullptr, &corpus});
  }
  return pairs;
}

KindShares kinds_of(const Mix& mix) {
  KindShares shares;
  for (const Corpus& corpus : mix.corpora)
    (corpus.kind == CorpusKind::code ? shares.code : shares.text) += percent(&corpus);
  return shares;
}

std::string rules(const std::vector<FieldRule>& rules) {
  std::vector<std::string> parts;
  for (const FieldRule& rule : rules) parts.push_back(fmt::format("{} in {}", rule.field, rule.values));
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, " and "));
}

/// Differences other than the share, one per line.
std::vector<std::string> other_differences(const Corpus& before, const Corpus& after) {
  std::vector<std::string> found;
  const auto compare = [&](const char* what, const std::string& then, const std::string& now) {
    if (then != now) found.push_back(fmt::format("{}: {} -> {}", what, then, now));
  };
  const auto or_none = [](const std::string& text, const char* none) { return text.empty() ? none : text; };
  const auto kind = [](const Corpus& c) { return c.kind == CorpusKind::code ? "code" : "text"; };
  const auto epochs = [](const Corpus& c) { return c.max_epochs > 0 ? fmt::format("{}", c.max_epochs) : "no limit"; };
  const auto at_end = [](const Corpus& c) {
    return c.at_end == AtEnd::repeat ? "repeat" : c.at_end == AtEnd::stop ? "stop" : "redistribute";
  };
  compare("kind", kind(before), kind(after));
  compare("license", or_none(before.license, "not stated"), or_none(after.license, "not stated"));
  compare("shards", fmt::format("{}", before.patterns), fmt::format("{}", after.patterns));
  compare("layout", or_none(before.layout, "by content"), or_none(after.layout, "by content"));
  compare("text_field", or_none(before.text_field, "the layout's"), or_none(after.text_field, "the layout's"));
  compare("keep", rules(before.filter.keep), rules(after.filter.keep));
  compare("drop", rules(before.filter.drop), rules(after.filter.drop));
  compare("where", or_none(before.filter.where, "none"), or_none(after.filter.where, "none"));
  compare("max_epochs", epochs(before), epochs(after));
  compare("at_end", at_end(before), at_end(after));
  return found;
}

std::string moved(const std::string& what, double before, double after) {
  const std::string factor = before > 0 ? fmt::format(" (x {:.3g})", after / before) : "";
  return fmt::format("{} {} from {:.6g} % to {:.6g} %{}", what, after > before ? "rises" : "falls", before, after,
                     factor);
}

/// Shares are compared exactly, as integers; sums by kind are not.
std::vector<std::string> in_words(const Mix& before, const Mix& after, const std::vector<Pair>& pairs) {
  std::vector<std::string> words;
  const KindShares then = kinds_of(before);
  const KindShares now = kinds_of(after);
  constexpr double kNoticeable = 1e-6;
  if (std::abs(then.code - now.code) > kNoticeable) words.push_back(moved("code", then.code, now.code));
  for (const Pair& pair : pairs) {
    const std::string& name = pair.any.name;
    if (pair.before == nullptr) {
      words.push_back(fmt::format("{} is new, with {:.6g} %", name, percent(pair.after)));
    } else if (pair.after == nullptr) {
      words.push_back(fmt::format("{} is gone; it had {:.6g} %", name, percent(pair.before)));
    } else {
      if (pair.before->share != pair.after->share)
        words.push_back(moved(name, percent(pair.before), percent(pair.after)));
      for (const std::string& difference : other_differences(*pair.before, *pair.after))
        words.push_back(fmt::format("{}: {}", name, difference));
    }
  }
  return words;
}

std::string as_json(const Mix& before, const Mix& after, const std::vector<Pair>& pairs,
                    const std::vector<std::string>& words) {
  const auto share = [](const Corpus* corpus) { return corpus == nullptr ? Json() : Json(percent(corpus) / 100); };
  const auto kinds = [](const Mix& mix) {
    const KindShares shares = kinds_of(mix);
    return Json{{"text", shares.text / 100}, {"code", shares.code / 100}};
  };
  Json corpora = Json::array();
  for (const Pair& pair : pairs) {
    Json differences = Json::array();
    if (pair.before != nullptr && pair.after != nullptr) differences = other_differences(*pair.before, *pair.after);
    corpora.push_back({{"name", pair.any.name},
                       {"kind", pair.any.kind == CorpusKind::code ? "code" : "text"},
                       {"share_a", share(pair.before)},
                       {"share_b", share(pair.after)},
                       {"differences", differences}});
  }
  const Json all{{"a", before.name},
                 {"b", after.name},
                 {"corpora", corpora},
                 {"by_kind", {{"a", kinds(before)}, {"b", kinds(after)}}},
                 {"words", words}};
  return json_page(all);
}

std::string as_text(const Mix& before, const Mix& after, const std::vector<Pair>& pairs,
                    const std::vector<std::string>& words) {
  TextTable table({{"corpus", Align::left}, {"kind", Align::left}, {before.name}, {after.name}, {"change"}});
  const auto cell = [](const Corpus* corpus) {
    return corpus == nullptr ? std::string("-") : fmt::format("{:.6g} %", percent(corpus));
  };
  const auto change = [](double then, double now) {
    return std::abs(now - then) < 1e-9 ? std::string("=") : fmt::format("{:+.6g}", now - then);
  };
  for (const Pair& pair : pairs) {
    table.add({pair.any.name, pair.any.kind == CorpusKind::code ? "code" : "text", cell(pair.before), cell(pair.after),
               change(percent(pair.before), percent(pair.after))});
  }
  const KindShares then = kinds_of(before);
  const KindShares now = kinds_of(after);
  table.add({"all code", "", fmt::format("{:.6g} %", then.code), fmt::format("{:.6g} %", now.code),
             change(then.code, now.code)});
  table.add({"all text", "", fmt::format("{:.6g} %", then.text), fmt::format("{:.6g} %", now.text),
             change(then.text, now.text)});
  std::string out = table.text();
  for (const std::string& line : words) out += line + "\n";
  return words.empty() ? out + "the two mixes are the same\n" : out;
}

}  // namespace

void add_mix_diff(CLI::App& mix) {
  struct Options {
    std::string before, after;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  const Command command(mix, "diff", "Show what changed between two mixes, as a table and in words");
  command.add_option("A", options->before, "A mix file").required();
  command.add_option("B", options->after, "A mix file").required();
  command.add_flag("--json", options->json, "Print one JSON object");
  command.footer("Example:\n  millrace mix diff mixes/openmoe-v1.toml mixes/openmoe-v2.toml");
  command.callback([options] {
    const Mix before = load_one(options->before);
    const Mix after = load_one(options->after);
    const std::vector<Pair> pairs = pairs_of(before, after);
    const std::vector<std::string> words = in_words(before, after, pairs);
    print_results(options->json ? as_json(before, after, pairs, words) : as_text(before, after, pairs, words));
  });
}

}  // namespace millrace
