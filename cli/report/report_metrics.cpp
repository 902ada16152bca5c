#include "cli/report/report_metrics.h"

#include <map>
#include <string_view>

#include <fmt/format.h>
#include <simdjson.h>

#include "pipeline/json_text.h"
#include "stages/io/whole_file.h"

namespace millrace {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::size_t kSkippedNamed = 10;
constexpr std::size_t kRecentBuckets = 20;

template <class T>
std::optional<T> get(const object& line, std::string_view key) {
  T value;
  if (line[key].get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

std::optional<double> number(const element& value) {
  double number = 0;
  if (value.get(number) != simdjson::SUCCESS) return std::nullopt;
  return number;
}

/// Examples by denoiser and raw tokens by corpus, since the run began.
struct Counts {
  std::map<std::string, double, std::less<>> raw_tokens, examples;
};

Counts counts_of(const object& ledger) {
  Counts counts;
  for (const auto& [corpus, by_denoiser] : ledger) {
    object denoisers;
    if (by_denoiser.get(denoisers) != simdjson::SUCCESS) continue;
    for (const auto& [denoiser, entry] : denoisers) {
      array numbers;
      if (entry.get(numbers) != simdjson::SUCCESS || numbers.size() < 2) continue;
      counts.examples[std::string(denoiser)] += number(numbers.at(0).value()).value_or(0);
      counts.raw_tokens[std::string(corpus)] += number(numbers.at(1).value()).value_or(0);
    }
  }
  return counts;
}

class Reader {
 public:
  explicit Reader(const std::vector<Phase>& phases) : phases_(phases) {}

  void line(const std::string& text) {
    object line;
    if (parser_.parse(text).get(line) != simdjson::SUCCESS) {
      ++metrics_.unreadable_lines;
      return;
    }
    const auto step = get<std::uint64_t>(line, "step");
    if (!step) return;
    if (const auto evaluation = get<object>(line, "eval")) {
      evaluated(*step, line, *evaluation);
      return;
    }
    if (trained_ && *step <= metrics_.step) return;
    trained_ = true;
    metrics_.step = *step;
    metrics_.tokens = get<std::uint64_t>(line, "tokens").value_or(metrics_.tokens);
    if (const auto reason = get<std::string_view>(line, "skipped")) {
      metrics_.steps.begin_row(*step);  // A gap in every curve.
      metrics_.seconds += get<double>(line, "step_s").value_or(0);
      if (metrics_.skipped++ < kSkippedNamed) metrics_.first_skipped.emplace_back(*step, *reason);
      return;
    }
    trained(line);
  }

  RunMetrics take() {
    metrics_.step_seconds = metrics_.steps.recent_mean("step_s", kRecentBuckets, 0);
    return std::move(metrics_);
  }

 private:
  void trained(const object& line) {
    metrics_.raw_tokens = get<std::uint64_t>(line, "raw_tokens").value_or(metrics_.raw_tokens);
    metrics_.loss_tokens = get<std::uint64_t>(line, "loss_tokens").value_or(metrics_.loss_tokens);
    if (const auto loss = get<double>(line, "loss")) metrics_.last_loss = *loss;
    metrics_.steps.begin_row(metrics_.step);
    for (const auto& [key, value] : line) {
      if (key == "step") continue;
      if (const auto plain = number(value)) metrics_.steps.add(key, *plain);
    }
    const double seconds = get<double>(line, "step_s").value_or(0);
    metrics_.seconds += seconds;
    if (const auto wait = get<double>(line, "data_wait_s"); wait && seconds > 0)
      metrics_.steps.add("data_wait_share", *wait / seconds);
    for (const char* group : {"ce_by_corpus", "ce_by_denoiser"})
      if (const auto values = get<object>(line, group)) add_named(group, *values);
    if (const auto router = get<object>(line, "router")) {
      for (const auto& [key, layers] : *router) {
        array values;
        if (layers.get(values) == simdjson::SUCCESS)
          add_numbered(metrics_.steps, fmt::format("router/{}/", key), values);
      }
    }
    if (const auto ledger = get<object>(line, "ledger")) counted(*ledger);
    if (const auto layers = get<array>(line, "experts")) {
      metrics_.experts.begin_row(metrics_.step);
      std::size_t layer = 0;
      for (const element& shares : *layers) {
        array values;
        if (shares.get(values) == simdjson::SUCCESS) add_numbered(metrics_.experts, fmt::format("{}/", layer), values);
        ++layer;
      }
    }
    if (const auto parts = get<array>(line, "dropped_by_position")) {
      metrics_.dropped.begin_row(metrics_.step);
      add_numbered(metrics_.dropped, "", *parts);
    }
  }

  void add_named(std::string_view group, const object& values) {
    for (const auto& [name, value] : values) {
      const auto plain = number(value);
      if (!plain) continue;
      name_.assign(group).append("/").append(name);
      metrics_.steps.add(name_, *plain);
    }
  }

  void add_numbered(ThinnedCurves& curves, const std::string& before, const array& values) {
    std::size_t i = 0;
    for (const element& value : values) {
      if (const auto plain = number(value)) curves.add(before + std::to_string(i), *plain);
      ++i;
    }
  }

  void evaluated(std::uint64_t step, const object& line, const object& corpora) {
    if (evaluated_at_ != step) metrics_.evaluations.begin_row(step);  // Each objective has its own line.
    evaluated_at_ = step;
    for (const auto& [corpus, score] : corpora) {
      object values;
      if (score.get(values) == simdjson::SUCCESS) add_score(corpus, values);
    }
    if (const auto overall = get<object>(line, "overall")) add_score("", *overall);
  }

  void add_score(std::string_view corpus, const object& score) {
    const std::string_view objective = get<std::string_view>(score, "objective").value_or("causal");
    for (const char* key : {"loss", "bits_per_byte", "accuracy", "perplexity"})
      if (const auto value = get<double>(score, key))
        metrics_.evaluations.add(fmt::format("{}/{}/{}", objective, key, corpus), *value);
  }

  /// Counts of a later phase start at the first ledger within it, so that phases are not mixed.
  void counted(const object& ledger) {
    const Counts now = counts_of(ledger);
    bool new_phase = false;
    while (phase_ + 1 < phases_.size() && metrics_.tokens > phases_[phase_].until) {
      ++phase_;
      new_phase = true;
    }
    if (new_phase && !ends_phase_) before_ = now;
    ends_phase_ = metrics_.tokens == phases_[phase_].until;
    metrics_.shares.begin_row(metrics_.step);
    add_shares("corpus/", now.raw_tokens, before_.raw_tokens);
    add_shares("denoiser/", now.examples, before_.examples);
    if (ends_phase_) before_ = now;
  }

  void add_shares(const std::string& group, const std::map<std::string, double, std::less<>>& now,
                  const std::map<std::string, double, std::less<>>& before) {
    const auto since = [&](const auto& entry) {
      const auto found = before.find(entry.first);
      return entry.second - (found == before.end() ? 0 : found->second);
    };
    double all = 0;
    for (const auto& entry : now) all += since(entry);
    if (all <= 0) return;
    for (const auto& entry : now)
      if (const double own = since(entry); own > 0) metrics_.shares.add(group + entry.first, own / all);
  }

  const std::vector<Phase>& phases_;
  RunMetrics metrics_;
  bool trained_ = false;
  std::optional<std::uint64_t> evaluated_at_;
  std::size_t phase_ = 0;
  bool ends_phase_ = false;  ///< The last ledger was exactly at the end of its phase.
  Counts before_;            ///< Counts at the beginning of the phase.
  std::string name_;
  simdjson::dom::parser parser_;
};

}  // namespace

Json RunMetrics::json() const {
  return {{"steps", steps.json()},
          {"evaluations", evaluations.json()},
          {"shares", shares.json()},
          {"experts", experts.means_json()},
          {"dropped_by_position", dropped.means_json()}};
}

RunMetrics read_metrics(const std::filesystem::path& file, const std::vector<Phase>& phases) {
  Reader reader(phases);
  for_each_line(file, [&](const std::string& line, std::uint64_t) { reader.line(line); });
  return reader.take();
}

}  // namespace millrace
