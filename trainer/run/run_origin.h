#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "trainer/config/run_config.h"

namespace millrace {

class JsonValue;

/// What a new run begins with: weights drawn from its seed, or (`train --from`) what a checkpoint holds.
struct RunOrigin {
  std::filesystem::path checkpoint;  ///< Folder, absolute; empty: none.
  std::optional<std::uint64_t>
      step;  ///< Its step, which the run goes on from, with its optimizer; none: weights alone.

  bool operator==(const RunOrigin&) const = default;
  /// Steps done before the run's first row.
  std::uint64_t first_step() const { return step.value_or(0); }
  std::string text() const;  ///< "the weights, optimizer and step 60 of FOLDER"
};

enum class TakeFrom : std::uint8_t { all, weights };

/// What `run`, whose vocabulary size is filled in, would begin with. A folder that holds a model and nothing else, as
/// other programs write them, gives its weights. Throws ConfigError, saying how to take the weights alone where that
/// helps: another model, damage, one of optimizer and state without the other, another optimizer.
RunOrigin origin_of(const std::filesystem::path& checkpoint, TakeFrom take, const RunConfig& run);

/// What the run in this folder was begun with. Throws ConfigError if its run.json is damaged.
RunOrigin origin_in(const std::filesystem::path& run_folder);

/// Members of run.json. Earlier programs took weights alone, and wrote no step.
void add_origin(nlohmann::ordered_json& run_json, const RunOrigin& origin);
RunOrigin read_origin(const JsonValue& run_json);

/// {"checkpoint", "step"}, or null if there is none.
void to_json(nlohmann::ordered_json& json, const RunOrigin& origin);

}  // namespace millrace
