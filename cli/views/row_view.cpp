#include "cli/views/row_view.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/console/results.h"
#include "cli/console/terminal_text.h"
#include "pipeline/json_text.h"

namespace millrace {
namespace {

constexpr const char* kBar = "\u2502";

/// Terminal colours, or nothing.
struct RowStyle {
  const char* heading = "";
  const char* sentinel = "";
  const char* noise = "";   ///< Masked spans, in the targets.
  const char* loss = "";    ///< Where the loss counts.
  const char* border = "";  ///< Between documents.
  const char* plain = "";
};

/// What a position holds, by its label: prompt, text (model input), noise, target (to be predicted), sentinel, eos,
/// pad.
enum class Kind : std::uint8_t { prompt, text, noise, target, sentinel, eos, pad };

const char* name_of(Kind kind) {
  static constexpr const char* kNames[] = {"prompt", "text", "noise", "target", "sentinel", "eos", "pad"};
  return kNames[static_cast<std::size_t>(kind)];
}

/// A position of an example.
struct ShownPosition {
  TokenId label = 0;
  Kind kind = Kind::text;
  std::optional<TokenId> sentinel;   ///< Of noise, and of the position it was taken from.
  std::optional<std::uint64_t> raw;  ///< Index within the segment, if known.
};

/// An example of a row, position by position.
class ExamplePlaces {
 public:
  ExamplePlaces(const StreamRow& row, const ExampleOrigin& origin, const RowContext& context) : origin_(origin) {
    const Vocabulary& vocabulary = *context.vocabulary;
    const Denoiser& denoiser = context.config.phases[origin.phase].objective.denoisers[origin.denoiser];
    const std::size_t prompt = denoiser.prompt.empty() ? 0 : vocabulary.encode(denoiser.prompt).size();
    std::optional<TokenId> noise;
    for (std::size_t i = 0; i < origin.inputs + origin.targets; ++i) {
      ShownPosition place;
      place.label = row.row.labels[origin.first + i];
      const bool is_target = i >= origin.inputs;
      const bool is_sentinel = place.label >= vocabulary.pieces();
      const bool is_last = i + 1 == origin.inputs || i + 1 == origin.inputs + origin.targets;
      if (!is_target && i < prompt) {
        place.kind = Kind::prompt;
      } else if (is_last) {
        place.kind = Kind::eos;
      } else if (!is_target) {
        place.kind = is_sentinel ? Kind::sentinel : Kind::text;
        if (is_sentinel) place.sentinel = place.label;
      } else {
        if (is_sentinel) noise = place.label;
        place.kind = noise ? Kind::noise : Kind::target;
        place.sentinel = noise;
      }
      places_.push_back(place);
    }
    number_raw_tokens();
  }

  const std::vector<ShownPosition>& all() const { return places_; }

 private:
  bool is_raw(const ShownPosition& place) const {
    return place.kind == Kind::text || place.kind == Kind::target ||
           (place.kind == Kind::noise && place.label != *place.sentinel);
  }

  /// As SegmentToExample::restore. Noise whose sentinel was trimmed off the inputs gets no index.
  void number_raw_tokens() {
    std::uint64_t number = 0;
    auto target = places_.begin() + origin_.inputs;
    for (auto input = places_.begin(); input != places_.begin() + origin_.inputs; ++input) {
      if (is_raw(*input)) input->raw = number++;
      if (input->kind != Kind::sentinel) continue;
      for (; target != places_.end() && target->sentinel == input->sentinel; ++target)
        if (is_raw(*target)) target->raw = number++;
    }
    if (origin_.inputs > 0) number += origin_.trimmed_tokens;  // In a prefix example, before the targets.
    for (; target != places_.end(); ++target)
      if (target->kind == Kind::target) target->raw = number++;
  }

  const ExampleOrigin& origin_;
  std::vector<ShownPosition> places_;
};

Json spans_json(const std::vector<ShownPosition>& places, const StreamRow& row, const ExampleOrigin& origin) {
  Json json = Json::array();
  for (std::size_t i = 0; i < places.size(); ++i) {
    const bool goes_on = i > 0 && places[i].kind == places[i - 1].kind && places[i].sentinel == places[i - 1].sentinel;
    if (!goes_on) {
      json.push_back({{"kind", name_of(places[i].kind)}, {"from", origin.first + i}});
      json.back()["to"] = 0;
      if (places[i].sentinel) json.back()["sentinel"] = *places[i].sentinel;
    }
    json.back()["to"] = origin.first + i + 1;
  }
  const std::size_t end = origin.first + places.size();
  const bool is_last = origin.example == row.examples.back().example;
  if (is_last && end < row.row.labels.size())
    json.push_back({{"kind", name_of(Kind::pad)}, {"from", end}, {"to", row.row.labels.size()}});
  return json;
}

std::string decoded(const std::vector<TokenId>& ids, const Vocabulary& vocabulary) {
  if (ids.empty()) return "";
  static constexpr const char* kWordBegins = "\u2581";
  std::string text = shown(vocabulary.decode(ids));
  if (vocabulary.piece(ids.front()).starts_with(kWordBegins) && !text.starts_with(' ')) text.insert(0, " ");
  return text;
}

/// Inputs or targets as text.
std::string part_text(const std::vector<ShownPosition>& places, std::size_t from, std::size_t to,
                      const std::set<std::uint64_t>& borders, const Vocabulary& vocabulary, const RowStyle& style,
                      const char* base) {
  std::string out;
  std::vector<TokenId> run;
  const char* colour = "";
  const auto flush = [&] {
    if (!run.empty()) out += fmt::format("{}{}{}{}", base, colour, decoded(run, vocabulary), style.plain);
    run.clear();
  };
  for (std::size_t i = from; i < to; ++i) {
    const ShownPosition& place = places[i];
    if (place.raw && borders.contains(*place.raw)) {
      flush();
      out += fmt::format("{}{}{}", style.border, kBar, style.plain);
    }
    if (place.label >= vocabulary.pieces() || place.label == vocabulary.eos()) {
      flush();
      out += fmt::format("{}{}{}{}", base, style.sentinel, shown_in_line(vocabulary.piece(place.label)), style.plain);
      continue;
    }
    const char* wanted = place.kind == Kind::noise ? style.noise : "";
    if (wanted != colour) flush();
    colour = wanted;
    run.push_back(place.label);
  }
  flush();
  return out;
}

/// Where documents begin after another one: indexes of the segment's tokens.
std::set<std::uint64_t> borders_of(const ExampleOrigin& origin) {
  std::set<std::uint64_t> borders;
  for (const DocumentSpan& document : origin.documents)
    if (document.at > 0) borders.insert(document.at);
  return borders;
}

std::string example_text(const StreamRow& row, const ExampleOrigin& origin, const RowContext& context,
                         const RowStyle& style) {
  std::string out = fmt::format(
      "{}row {}  example {}  {}  {}{}\n", style.heading, row.number, origin.example,
      shown_in_line(context.corpora[origin.corpus]),
      shown_in_line(context.config.phases[origin.phase].objective.denoisers[origin.denoiser].name), style.plain);
  for (const DocumentSpan& span : origin.documents)
    out += fmt::format("  {}:{} tokens {} to {}\n", shown_in_line(context.shards[origin.corpus][span.shard]),
                       span.record, span.from, span.to);
  out += fmt::format("  {} raw tokens: {} inputs, {} targets", origin.raw_tokens, origin.inputs, origin.targets);
  if (origin.trimmed_tokens > 0) out += fmt::format(", {} trimmed", origin.trimmed_tokens);
  out += fmt::format("; positions {} to {}\n", origin.first, origin.first + origin.inputs + origin.targets - 1);
  const ExamplePlaces example(row, origin, context);
  const std::vector<ShownPosition>& places = example.all();
  std::string noise;
  for (std::size_t i = origin.inputs; i < places.size(); ++i) {
    if (places[i].kind != Kind::noise || places[i].label != *places[i].sentinel) continue;
    std::size_t last = i;
    while (last + 1 < places.size() && places[last + 1].sentinel == places[i].sentinel) ++last;
    noise += fmt::format(" {}-{}", origin.first + i, origin.first + last);
  }
  if (!noise.empty()) out += fmt::format("  noise spans, each after its sentinel, at positions{}\n", noise);
  const std::set<std::uint64_t> borders = borders_of(origin);
  if (origin.inputs > 0)
    out += fmt::format("{}inputs{}\n{}\n", style.heading, style.plain,
                       part_text(places, 0, origin.inputs, borders, *context.vocabulary, style, ""));
  out += fmt::format("{}targets{}\n{}\n\n", style.heading, style.plain,
                     part_text(places, origin.inputs, places.size(), borders, *context.vocabulary, style, style.loss));
  return out;
}

/// Colours if standard output is a terminal and NO_COLOR is not set.
RowStyle style_of_stdout() {
  const char* no_color = std::getenv("NO_COLOR");
  if (isatty(STDOUT_FILENO) != 1 || (no_color != nullptr && *no_color != '\0')) return {};
  return {"\033[1m", "\033[1;33m", "\033[36m", "\033[4m", "\033[1;35m", "\033[0m"};
}

std::string row_text(const StreamRow& row, const RowContext& context, const RowStyle& style) {
  std::string out;
  const auto real = std::ranges::count_if(row.row.segment_ids, [](std::int32_t segment) { return segment != 0; });
  const auto loss = std::ranges::count_if(row.row.loss_weights, [](float weight) { return weight != 0; });
  for (std::size_t i = 0; i < row.examples.size(); ++i) {
    if (i > 0) out += fmt::format("{}--- another segment of row {} ---{}\n", style.border, row.number, style.plain);
    out += example_text(row, row.examples[i], context, style);
  }
  return out + fmt::format("{}row {}: {} segments, {} of {} positions real, {} with loss{}\n\n", style.heading,
                           row.number, std::ranges::max(row.row.segment_ids), real, row.row.labels.size(), loss,
                           style.plain);
}

std::string row_json(const StreamRow& row, const RowContext& context) {
  const Row& r = row.row;
  Json examples = Json::array();
  auto raw = row.raw_tokens.begin();
  for (const ExampleOrigin& origin : row.examples) {
    Json documents = Json::array();
    for (const DocumentSpan& span : origin.documents)
      documents.push_back({{"shard", context.shards[origin.corpus][span.shard]},
                           {"record", span.record},
                           {"from", span.from},
                           {"to", span.to}});
    const auto inputs = r.labels.begin() + origin.first;
    const auto targets = inputs + origin.inputs;
    const auto raw_end = raw + static_cast<std::ptrdiff_t>(origin.segment_tokens);
    Json example{{"corpus", context.corpora[origin.corpus]},
                 {"documents", documents},
                 {"denoiser", context.config.phases[origin.phase].objective.denoisers[origin.denoiser].name},
                 {"raw_tokens", std::vector<TokenId>(raw, raw_end)}};
    if (context.vocabulary != nullptr)
      example["spans"] = spans_json(ExamplePlaces(row, origin, context).all(), row, origin);
    example["inputs"] = std::vector<TokenId>(inputs, targets);
    example["targets"] = std::vector<TokenId>(targets, targets + origin.targets);
    example["trimmed_tokens"] = origin.trimmed_tokens;
    examples.push_back(std::move(example));
    raw = raw_end;
  }
  const Json json{{"row", row.number},       {"examples", examples},           {"tokens", r.tokens},
                  {"labels", r.labels},      {"loss_weights", r.loss_weights}, {"segment_ids", r.segment_ids},
                  {"positions", r.positions}};
  return json_line(json);
}

}  // namespace

void print_row(const StreamRow& row, const RowContext& context, bool json) {
  if (json)
    print_results(row_json(row, context) + "\n");
  else
    print_raw_results(row_text(row, context, style_of_stdout()));
}

}  // namespace millrace
