#pragma once

#include <filesystem>
#include <string>

#include "pipeline/config/stream_config.h"
#include "pipeline/keys/config_table.h"

namespace millrace {

/// Reads mixes/*.toml: name, extend, remove, normalize, [[corpus]] tables and [[group]] tables of them. Throws
/// ConfigError with line and column for a share of 0 or below, shares that do not sum to 100, two corpora of one name,
/// a cycle in extend, unknown keys.
Mix read_mix(const ConfigTable& table);
Mix load_mix(const std::filesystem::path& file);

/// The mix as a TOML file that loads to the same again.
std::string to_toml(const Mix& mix);
/// Likewise, without what alters no row and is told alone: the corpora's licences.
std::string to_toml_of_rows(Mix mix);
/// Reads what to_toml wrote; `name` stands for the file in complaints.
Mix mix_from_toml(const std::string& text, const std::string& name);

}  // namespace millrace
