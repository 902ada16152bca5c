#include "trainer/metrics/event_log.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "pipeline/json_text.h"
#include "trainer/metrics/event_record.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "events.out.tfevents.";

/// Keys of a training line and their tags.
constexpr std::array<std::pair<const char*, const char*>, 18> kScalars{{
    {"loss", "loss/total"},
    {"ce", "loss/ce"},
    {"z_loss", "loss/z"},
    {"aux_loss", "loss/load_balance"},
    {"router_z_loss", "loss/router_z"},
    {"accuracy", "accuracy/train"},
    {"lr", "optimizer/learning_rate"},
    {"grad_norm", "optimizer/gradient_norm"},
    {"param_norm", "optimizer/parameter_norm"},
    {"update_norm", "optimizer/update_norm"},
    {"tokens_per_s", "speed/tokens_per_s"},
    {"limit_share", "speed/limit_share"},
    {"step_s", "speed/step_s"},
    {"data_wait_s", "speed/data_wait_s"},
    {"memory_bytes", "speed/memory_bytes"},
    {"tokens", "data/tokens"},
    {"raw_tokens", "data/raw_tokens"},
    {"loss_tokens", "data/loss_tokens"},
}};

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// The TIME of an event file's name; 0 for other files.
std::uint64_t time_of(const std::string& name) {
  std::uint64_t time = 0;
  if (name.starts_with(kPrefix)) std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), time);
  return time;
}

fs::path new_file(const fs::path& folder) {
  auto time = static_cast<std::uint64_t>(now());
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    time = std::max(time, time_of(entry.path().filename().string()) + 1);
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  const std::string name = host[0] == '\0' ? "localhost" : host.data();
  return folder / fmt::format("{}{:010}.{}.{}.0", kPrefix, time, name, getpid());
}

void add_number(SummaryRecord& summary, const std::string& tag, const Json& value) {
  // Event files hold floats: numbers that are not finite as floats are left out, like null.
  if (value.is_number() && std::isfinite(value.get<float>())) summary.scalar(tag, value.get<double>());
}

void add_training(SummaryRecord& summary, const Json& line) {
  for (const auto& [key, tag] : kScalars)
    if (line.contains(key)) add_number(summary, tag, line.at(key));
  // Charts count phases from 1, as logs, tables and reports do.
  if (line.contains("phase")) add_number(summary, "data/phase", line.at("phase").get<std::uint64_t>() + 1);
  for (const char* owner : {"corpus", "denoiser"}) {
    const Json means = line.value(fmt::format("ce_by_{}", owner), Json::object());
    for (const auto& [name, ce] : means.items()) add_number(summary, fmt::format("loss_by_{}/{}", owner, name), ce);
  }
  const Json router = line.value("router", Json::object());
  for (const auto& [key, layers] : router.items())
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
      add_number(summary, fmt::format("router_{}/moe_{}", key, layer), layers[layer]);
  const Json experts = line.value("experts", Json::array());
  for (std::size_t layer = 0; layer < experts.size(); ++layer)
    summary.histogram(fmt::format("expert_load/moe_{}", layer), experts[layer].get<std::vector<double>>());
}

/// `scores`: null if there was nothing to evaluate.
void add_scores(SummaryRecord& summary, const std::string& corpus, const Json& scores) {
  if (!scores.is_object()) return;
  const auto objective = scores.at("objective").get<std::string>();
  for (const auto& [key, value] : scores.items())
    if (key != "objective" && key != "tokens")
      add_number(summary, fmt::format("eval_{}_{}/{}", objective, key, corpus), value);
}

}  // namespace

EventLog::EventLog(const fs::path& folder, std::uint64_t first_step, const RunSettings& settings, AppendFile::Tell tell)
    : file_(new_file(folder), std::move(tell)) {
  file_.append(version_record(now()) + session_start_record(now(), first_step));
  SummaryRecord summary;
  for (const auto& [name, text] : settings.files)
    summary.text("run/" + name, fmt::format("```toml\n{}{}```\n", text, text.ends_with('\n') ? "" : "\n"));
  if (settings.keys) summary.hyperparameters(*settings.keys, now());
  if (!summary.empty()) file_.append(summary.record(now(), first_step));
}

void EventLog::add(const Json& line) {
  SummaryRecord summary;
  if (line.contains("eval")) {
    for (const auto& [corpus, scores] : line.at("eval").items()) add_scores(summary, corpus, scores);
    add_scores(summary, "(overall)", line.at("overall"));
  } else {
    add_training(summary, line);
  }
  if (!summary.empty()) file_.append(summary.record(now(), line.at("step").get<std::uint64_t>()));
}

}  // namespace millrace
