#include "cli/views/training_view.h"

#include <cmath>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "cli/console/progress.h"
#include "cli/console/text_table.h"
#include "pipeline/json_text.h"

namespace millrace {
namespace {

constexpr const char* kNotFinite = "not finite";

/// Of a corpus, or of all if none is given. Nothing if the corpus was added after the evaluation, or has no held-out
/// tokens.
const Json* score_of(const Json& evaluation, const std::optional<std::string>& corpus) {
  if (!evaluation.is_object()) return nullptr;
  const Json& scores = corpus ? evaluation.at("eval") : evaluation;
  const auto score = scores.find(corpus.value_or("overall"));
  return score != scores.end() && score->is_object() ? &*score : nullptr;
}

/// Nothing if absent: JSON has null for numbers that are not finite.
std::optional<double> number_of(const Json& score, const char* key) {
  const auto value = score.find(key);
  return value != score.end() && value->is_number() ? std::optional(value->get<double>()) : std::nullopt;
}

std::string number(const Json* score, const char* key, int decimals) {
  if (score == nullptr) return "-";
  if (const std::optional<double> value = number_of(*score, key)) return finite_text(*value, decimals);
  const bool is_not_finite = !number_of(*score, "loss") || std::string_view(key) == "perplexity";
  return is_not_finite && score->contains(key) ? kNotFinite : "-";
}

std::string evaluation_table(const std::string& objective, const Json& first, const Json& last) {
  const auto step = [](const Json& evaluation) {
    return fmt::format("step {}", evaluation.at("step").get<std::uint64_t>());
  };
  TextTable table({{"held out, " + objective, Align::left},
                   {"tokens"},
                   {"loss, " + step(first)},
                   {step(last)},
                   {"unigram bound"},
                   {"below it"},
                   {"perplexity"},
                   {"bits/byte"},
                   {"accuracy"}});
  std::vector<std::optional<std::string>> corpora;
  for (const auto& [corpus, score] : last.at("eval").items()) corpora.emplace_back(corpus);
  corpora.emplace_back();
  for (const std::optional<std::string>& corpus : corpora) {
    const Json* score = score_of(last, corpus);
    const std::string name = corpus.value_or("all");
    if (score == nullptr) {
      table.add({name, "none", "-", "-", "-", "-", "-", "-", "-"});
      continue;
    }
    const std::optional<double> loss = number_of(*score, "loss");
    const std::optional<double> bound = number_of(*score, "unigram_loss");
    table.add({name, fmt::format("{}", score->at("tokens").get<std::uint64_t>()),
               number(score_of(first, corpus), "loss", 4), number(score, "loss", 4), number(score, "unigram_loss", 4),
               loss && bound ? percent(1 - *loss / *bound) : "-", number(score, "perplexity", 1),
               number(score, "bits_per_byte", 3), percent(score->at("accuracy").get<double>())});
  }
  return table.text();
}

std::string shares_table(const Json& phases) {
  TextTable table({{"phase", Align::left},
                   {"corpus", Align::left},
                   {"asked"},
                   {"realised"},
                   {"raw tokens"},
                   {"off by"},
                   {"within one example", Align::left}});
  for (const Json& phase : phases)
    for (const Json& corpus : phase.at("corpora"))
      table.add({fmt::format("{} {}", phase.at("phase").get<int>() + 1, phase.at("mix").get<std::string>()),
                 corpus.at("name").get<std::string>(), percent(corpus.at("asked").get<double>()),
                 percent(corpus.at("realised").get<double>()),
                 fmt::format("{}", corpus.at("raw_tokens").get<std::uint64_t>()),
                 fmt::format("{:.0f} tokens", corpus.at("off_by_tokens").get<double>()),
                 corpus.at("within_one_example").get<bool>()
                     ? "yes"
                     : fmt::format("no: the longest has {}", phase.at("longest_example").get<std::uint64_t>())});
  return table.text();
}

std::string rejects_lines(const Json& records) {
  std::string text;
  for (const auto& [corpus, counts] : records.items())
    for (const auto& [cause, count] : counts.at("rejected").items())
      text += fmt::format("{}: {} of {} records rejected, {}\n", corpus, count.get<std::uint64_t>(),
                          counts.at("read").get<std::uint64_t>(), cause);
  return text.empty() ? "no record was rejected\n" : text;
}

/// What was read but did not reach the rows.
std::string losses_lines(const Json& summary) {
  std::string text;
  if (const auto trimmed = summary.at("trimmed_tokens").get<std::uint64_t>(); trimmed > 0)
    text += fmt::format("{} of {} raw tokens were trimmed: layout \"openmoe\" had no place for them\n", trimmed,
                        summary.at("raw_tokens").get<std::uint64_t>());
  for (const auto& [corpus, counts] : summary.at("records").items())
    if (const auto shortened = counts.at("shortened").get<std::uint64_t>(); shortened > 0)
      text += fmt::format("{}: {} documents longer than max_document_tokens, {} of their tokens dropped\n", corpus,
                          shortened, counts.at("dropped_tokens").get<std::uint64_t>());
  return text;
}

/// Of the steps, those that the run did not make itself.
std::string before_text(const Json& from) {
  if (!from.is_object() || !from.at("step").is_number()) return "";
  return fmt::format(" (the first {} before this run)", from.at("step").get<std::uint64_t>());
}

}  // namespace

std::string finite_text(double number, int decimals) {
  return std::isfinite(number) ? fmt::format("{:.{}f}", number, decimals) : kNotFinite;
}

std::string evaluation_line(std::uint64_t step, const Evaluation& evaluation) {
  const EvaluationScore& all = evaluation.overall;
  if (all.tokens == 0)
    return fmt::format("step {}, {}: too little held-out text to evaluate on; raise [eval] tokens or [data] holdout",
                       step, evaluation.objective);
  return fmt::format("step {}, {}: held-out loss {} on {} tokens, unigram bound {:.4f}, accuracy {}", step,
                     evaluation.objective, finite_text(all.loss(), 4), all.tokens, all.unigram_loss().value_or(0),
                     percent(all.accuracy()));
}

std::string steps_text(std::uint64_t first_step, std::uint64_t last_step) {
  if (first_step == 0) return fmt::format("{} steps", last_step);
  return fmt::format("steps {} to {}", first_step + 1, last_step);
}

std::string outcome_text(const Json& json) {
  const Json& times = json.at("times");
  std::string text = fmt::format(
      "{}: {} of {} steps{}, {} tokens in {} ({} tokens/s, {} waiting for data, {} for checkpoints), at most {} of "
      "memory\n",
      json.at("run").get<std::string>(), json.at("steps").get<std::uint64_t>(),
      json.at("total_steps").get<std::uint64_t>(), before_text(json.at("from")),
      human_count(json.at("tokens").get<double>()), human_duration(times.at("wall_s").get<double>()),
      human_count(json.at("tokens_per_s").get<double>()), percent(times.at("data_wait_share").get<double>()),
      percent(times.at("checkpoint_share").get<double>()), human_bytes(json.at("peak_memory_bytes").get<double>()));
  if (const auto skipped = json.at("skipped_steps").get<std::uint64_t>(); skipped > 0)
    text += fmt::format("{} steps were skipped: loss, gradients or new weights were not finite\n", skipped);
  if (const auto failed = json.at("failed_saves").get<std::uint64_t>(); failed > 0)
    text += fmt::format("{} checkpoints could not be written when they were due\n", failed);
  const Json& evaluations = json.at("evaluations");
  if (evaluations.at("last").is_object())
    text += "\n" + evaluation_table(kCausalObjective, evaluations.at("first"), evaluations.at("last"));
  for (const Json& own : evaluations.at("own"))
    text += "\n" + evaluation_table(own.at("objective").get<std::string>(), own.at("first"), own.at("last"));
  if (!json.at("shares").empty()) text += "\n" + shares_table(json.at("shares"));
  return text + "\n" + rejects_lines(json.at("records")) + losses_lines(json);
}

}  // namespace millrace
