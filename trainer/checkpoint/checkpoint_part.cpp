#include "trainer/checkpoint/checkpoint_part.h"

#include <array>
#include <chrono>
#include <exception>
#include <stdexcept>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"

namespace millrace {
namespace {

constexpr std::array<const char*, 4> kStateNames{"idle", "busy", "done", "failed"};

PartReport::State state_named(const std::string& name) {
  for (std::size_t i = 0; i < kStateNames.size(); ++i)
    if (name == kStateNames[i]) return static_cast<PartReport::State>(i);
  throw ConfigError(fmt::format("a rank's report of a checkpoint: state \"{}\" is not known", name));
}

}  // namespace

std::vector<TensorFile> checkpoint_files(const std::vector<TensorView>& parameters,
                                         const std::vector<TensorView>& optimizer, std::uint64_t most_bytes) {
  std::vector<TensorFile> files = cut_into_files(kModelFiles, parameters, most_bytes);
  for (TensorFile& file : cut_into_files(kOptimizerFiles, optimizer, most_bytes)) files.push_back(std::move(file));
  return files;
}

std::string report_text(const PartReport& report) {
  Json files = Json::array();
  for (const FileSum& file : report.files)
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"xxh3", file.xxh3}});
  return json_line({{"state", kStateNames[static_cast<std::size_t>(report.state)]},
                    {"step", report.step},
                    {"files", files},
                    {"error", report.error}});
}

PartReport report_in(const std::string& text) {
  const JsonValue json = JsonValue::parse(text, {"a rank's report of a checkpoint", 0, ""});
  PartReport report;
  report.state = state_named(json.get<std::string>("state"));
  report.step = json.get<std::uint64_t>("step");
  for (const JsonValue& file : json.at("files").elements())
    report.files.push_back(
        {file.get<std::string>("name"), file.get<std::uint64_t>("bytes"), file.get<std::string>("xxh3")});
  report.error = json.get<std::string>("error");
  return report;
}

CheckpointPart::CheckpointPart(std::vector<TensorFile> files, int rank, int ranks) : files_(std::move(files)) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < files_.size(); ++i) {
    if (writer_of(i, ranks) != rank) continue;
    own_.push_back(i);
    for (const TensorView& tensor : files_[i].tensors) bytes += tensor.bytes();
  }
  memory_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
  const std::byte* at = memory_.get();
  for (const std::size_t i : own_)
    for (TensorView& tensor : files_[i].tensors) tensor.data = std::exchange(at, at + tensor.bytes());
}

CheckpointPart::~CheckpointPart() {
  wait();
}

std::span<std::byte> CheckpointPart::memory_of(std::size_t file, std::size_t tensor) {
  if (writing_.valid()) throw std::logic_error("CheckpointPart: its memory is being written to disk");
  const TensorView& view = files_.at(file).tensors.at(tensor);
  if (view.data == nullptr) throw std::logic_error("CheckpointPart: another rank writes " + files_[file].name);
  return {memory_.get() + (view.data - memory_.get()), view.bytes()};
}

void CheckpointPart::begin(const std::filesystem::path& folder, std::uint64_t step, std::function<void()> first) {
  if (writing_.valid()) throw std::logic_error("CheckpointPart: the save before is not done");
  report_ = {PartReport::State::busy, step, {}, ""};
  writing_ = std::async(std::launch::async,
                        [this, folder, step, first = std::move(first)] { return write(folder, step, first); });
}

const PartReport& CheckpointPart::report() {
  if (writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) return wait();
  return report_;
}

const PartReport& CheckpointPart::wait() {
  if (writing_.valid()) report_ = writing_.get();
  return report_;
}

PartReport CheckpointPart::write(const std::filesystem::path& folder, std::uint64_t step,
                                 const std::function<void()>& first) const {
  PartReport report{PartReport::State::done, step, {}, ""};
  try {
    first();
    for (const std::size_t i : own_) report.files.push_back(write_summed(folder, files_[i]));
  } catch (const std::exception& error) {
    return {PartReport::State::failed, step, {}, error.what()};
  }
  return report;
}

SaveState state_of_save(std::uint64_t step, const std::vector<PartReport>& reports,
                        const std::vector<std::string>& hosts) {
  SaveState all;
  int failures = 0;
  for (std::size_t rank = 0; rank < reports.size(); ++rank) {
    const PartReport& report = reports[rank];
    const bool is_over =
        report.step == step && (report.state == PartReport::State::done || report.state == PartReport::State::failed);
    if (!is_over) all.is_busy = true;
    if (!is_over) continue;
    all.files.insert(all.files.end(), report.files.begin(), report.files.end());
    if (report.state == PartReport::State::failed && failures++ == 0)
      all.failure = fmt::format("rank {} ({}): {}", rank, hosts.at(rank), report.error);
  }
  if (failures > 1) all.failure += fmt::format(", and {} ranks more", failures - 1);
  if (all.is_busy) return {.is_busy = true, .files = {}, .failure = {}};
  if (!all.failure.empty()) all.files.clear();
  return all;
}

}  // namespace millrace
