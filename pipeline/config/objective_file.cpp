#include "pipeline/config/objective_file.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

#include "pipeline/config/share_percent.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/keys/toml_writer.h"

namespace millrace {
namespace {

Denoiser read_denoiser(const ConfigTable& table) {
  Denoiser denoiser;
  denoiser.name = table.text("name");
  const std::string kind = table.choice("kind", "span", {kDenoiserKinds.begin(), kDenoiserKinds.end()});
  denoiser.kind = static_cast<DenoiserKind>(std::ranges::find(kDenoiserKinds, kind) - kDenoiserKinds.begin());
  denoiser.share = static_cast<double>(read_share(table)) / static_cast<double>(kShareUnits);
  denoiser.prompt = table.text("prompt", "");
  if (denoiser.kind == DenoiserKind::span) {
    denoiser.mean_span = table.number("mean_span", kMeanSpans);
    denoiser.mask_ratio = table.number("mask_ratio", kMaskRatios);
  }
  if (denoiser.kind == DenoiserKind::causal && !denoiser.prompt.empty())
    table.fail("prompt", "is not possible for kind \"causal\", whose rows are text from the start");
  table.refuse_unknown_keys();
  return denoiser;
}

/// Layout openmoe: how long inputs and targets may be.
FeatureLengths read_lengths(const ConfigTable& table, RowLayout layout, bool all_causal) {
  for (const char* key : {"inputs", "targets"}) {
    if (!table.has(key)) continue;
    if (layout == RowLayout::full) table.fail(key, "has no meaning with layout \"full\", where a row's length decides");
    table.count(key, WholeRange{2, kLongestRow});
  }
  if (all_causal && table.has("inputs")) table.fail("inputs", "has no meaning: causal examples are targets only");
  if (layout == RowLayout::full) return {};
  return {all_causal ? 0 : static_cast<int>(table.count("inputs")), static_cast<int>(table.count("targets"))};
}

}  // namespace

Objective read_objective(const ConfigTable& table) {
  Objective objective;
  objective.name = table.text("name", table.file().stem().string());
  objective.layout =
      table.choice("layout", "full", {"full", "openmoe"}) == "openmoe" ? RowLayout::openmoe : RowLayout::full;
  std::uint64_t sum = 0;
  bool all_causal = true;
  for (const ConfigTable& denoiser_table : table.tables("denoiser")) {
    Denoiser denoiser = read_denoiser(denoiser_table);
    if (std::ranges::find(objective.denoisers, denoiser.name, &Denoiser::name) != objective.denoisers.end())
      denoiser_table.fail("name", fmt::format("\"{}\" names two denoisers", denoiser.name));
    sum += read_share(denoiser_table);
    all_causal = all_causal && denoiser.kind == DenoiserKind::causal;
    objective.denoisers.push_back(std::move(denoiser));
  }
  if (objective.name == "causal" && !all_causal)
    table.fail("name", "is \"causal\", but not all denoisers are: evaluations are told apart by this name");
  objective.separator = table.choice("separator", all_causal ? "eos" : "none", {"none", "eos"}) == "eos"
                            ? Separator::eos
                            : Separator::none;
  objective.attention = table.choice("attention", "packed", {"packed", "document"}) == "document"
                            ? AttentionReach::document
                            : AttentionReach::packed;
  if (objective.attention == AttentionReach::document && !all_causal)
    table.fail("attention",
               "is \"document\", which only causal denoisers can keep: the targets of other examples must attend to "
               "inputs that may come from several documents");
  objective.lengths = read_lengths(table, objective.layout, all_causal);
  objective.max_document_tokens = table.count("max_document_tokens", 0);
  table.refuse_unknown_keys();
  if (objective.denoisers.empty()) table.fail("denoiser", "is missing: an objective needs at least one [[denoiser]]");
  if (sum != kShareUnits) table.fail("denoiser", fmt::format("shares sum to {} %, expected 100", percent(sum)));
  return objective;
}

Objective load_objective(const std::filesystem::path& file) {
  return read_objective(ConfigTable::read(file));
}

Objective objective_from_toml(const std::string& text, const std::string& name) {
  return read_objective(ConfigTable::parse(text, name));
}

std::string to_toml(const Objective& objective) {
  TomlWriter toml;
  toml.add("name", objective.name);
  toml.add("layout", objective.layout == RowLayout::full ? "full" : "openmoe");
  if (objective.lengths.inputs > 0) toml.add("inputs", objective.lengths.inputs);
  if (objective.lengths.targets > 0) toml.add("targets", objective.lengths.targets);
  toml.add("separator", objective.separator == Separator::eos ? "eos" : "none");
  if (objective.attention == AttentionReach::document) toml.add("attention", "document");
  if (objective.max_document_tokens > 0) toml.add("max_document_tokens", objective.max_document_tokens);
  for (const Denoiser& denoiser : objective.denoisers) {
    toml.begin_element("denoiser");
    toml.add("name", denoiser.name);
    toml.add("kind", name_of(denoiser.kind));
    toml.add("share", denoiser.share * kPercent);
    if (denoiser.kind == DenoiserKind::span) {
      toml.add("mean_span", denoiser.mean_span);
      toml.add("mask_ratio", denoiser.mask_ratio);
    }
    if (!denoiser.prompt.empty()) toml.add("prompt", denoiser.prompt);
  }
  return toml.text();
}

}  // namespace millrace
