#include "trainer/distributed/rank_status.h"

#include <cerrno>
#include <chrono>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "trainer/distributed/run_folder_check.h"

namespace millrace {

namespace fs = std::filesystem;

void to_json(Json& json, const RankStatus& status) {
  json = {{"rank", status.rank},
          {"ranks", status.ranks},
          {"host", status.host},
          {"process", status.process},
          {"time", status.time},
          {"beats", status.beats},
          {"has_ended", status.has_ended},
          {"is_told_to_end", status.is_told_to_end},
          {"step", status.step},
          {"doing", status.doing},
          {"for_seconds", status.for_seconds},
          {"awaits", status.awaits},
          {"memory_bytes", status.memory}};
}

void from_json(const JsonValue& json, RankStatus& status) {
  status.rank = json.get<int>("rank");
  status.ranks = json.get<int>("ranks");
  status.host = json.get<std::string>("host");
  status.process = json.get<std::int64_t>("process");
  status.time = json.get<double>("time");
  status.beats = json.get<std::uint64_t>("beats");
  status.has_ended = json.get<bool>("has_ended");
  status.is_told_to_end = json.get<bool>("is_told_to_end");
  status.step = json.get<std::uint64_t>("step");
  status.doing = json.get<std::string>("doing");
  status.for_seconds = json.get<double>("for_seconds");
  status.awaits = json.get<std::vector<int>>("awaits");
  status.memory = json.get<std::uint64_t>("memory_bytes");
}

void write_status(const fs::path& file, const RankStatus& status) {
  const std::string line = json_line(Json(status)) + "\n";
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  const bool is_written = descriptor >= 0 &&
                          ::pwrite(descriptor, line.data(), line.size(), 0) == static_cast<ssize_t>(line.size()) &&
                          ::ftruncate(descriptor, static_cast<off_t>(line.size())) == 0;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!is_written) throw std::system_error(error, std::generic_category(), file.string());
}

std::optional<RankStatus> read_status(const fs::path& file) {
  try {
    if (!fs::exists(file)) return std::nullopt;
    return JsonValue::read(file, "remove it").as<RankStatus>();
  } catch (const ConfigError&) {
    return std::nullopt;
  } catch (const std::system_error&) {
    return std::nullopt;
  }
}

std::vector<RankStatus> read_statuses(const fs::path& run_folder) {
  std::vector<RankStatus> all;
  for (int rank = 0, ranks = 1; rank < ranks; ++rank) {
    const std::optional<RankStatus> status = read_status(rank_file(run_folder, rank, "status"));
    if (!status) continue;
    if (rank == 0) ranks = status->ranks;
    all.push_back(*status);
  }
  return all;
}

void remove_statuses(const fs::path& run_folder) {
  const fs::path ranks = rank_file(run_folder, 0, "status").parent_path();
  if (!fs::exists(ranks)) return;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(ranks))
    if (entry.path().extension() == ".status") files.push_back(entry.path());
  for (const fs::path& file : files) fs::remove(file);
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace millrace
