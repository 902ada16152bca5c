#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/keys/toml_writer.h"

namespace millrace {

/// What a run file says of its rows: the keys at its top, [[phase]] with the mixes and objectives that it names, and
/// [data]. "vocab", other tables, those in phases too, and refuse_unknown_keys() are left to whoever reads the whole
/// file. Throws ConfigError with file, line and column.
StreamConfig read_stream(const ConfigTable& run);

/// Writes what read_stream() reads, "vocab" too, to `run`, and returns the names and texts of the files that it names:
/// "mixes/phase-1.toml", "objectives/phase-1.toml", ... In one folder, they read back to the same stream. What
/// `write_rest` writes comes behind each phase's keys.
std::vector<std::pair<std::string, std::string>> write_stream(const StreamConfig& stream,
                                                              const std::filesystem::path& vocabulary, TomlWriter& run,
                                                              const std::function<void(std::size_t phase)>& write_rest);

}  // namespace millrace
