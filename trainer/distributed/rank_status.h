#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace millrace {

class JsonValue;

/// A rank's own words in ranks/NNNN.status, one line of JSON that is written anew every second: a file and no message,
/// so that it is true when the network is not.
struct RankStatus {
  int rank = 0;
  int ranks = 1;
  std::string host;
  std::int64_t process = 0;
  double time = 0;              ///< Seconds since 1970 when it was written, by its own clock: for people alone.
  std::uint64_t beats = 0;      ///< How often this process wrote it.
  bool has_ended = false;       ///< It is not written any more.
  bool is_told_to_end = false;  ///< By a signal: the launcher's, when another rank is gone, or somebody's.
  std::uint64_t step = 0;       ///< Being made.
  std::string doing;            ///< What it does, or waits for.
  double for_seconds = 0;       ///< Since when.
  std::vector<int> awaits;      ///< The ranks that it waits for.
  std::uint64_t memory = 0;     ///< Resident bytes.
};
void to_json(nlohmann::ordered_json& json, const RankStatus& status);
void from_json(const JsonValue& json, RankStatus& status);

/// Replaces the file's content in place.
void write_status(const std::filesystem::path& file, const RankStatus& status);
/// None: there is no such file, or it is being written.
std::optional<RankStatus> read_status(const std::filesystem::path& file);
/// Those of all ranks of a run folder, by rank, as many as the last job had.
std::vector<RankStatus> read_statuses(const std::filesystem::path& run_folder);
/// Removes those of the run's last job.
void remove_statuses(const std::filesystem::path& run_folder);

double seconds_since_1970();

}  // namespace millrace
