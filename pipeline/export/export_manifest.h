#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/export/export_account.h"
#include "pipeline/formats/block_checksums.h"
#include "pipeline/formats/export_identity.h"
#include "pipeline/formats/staged_folder.h"
#include "pipeline/rows/stream_row.h"

namespace millrace {

/// What a whole output folder says of itself in kOutputManifest, which is written last.
struct ExportManifest {
  ExportIdentity identity;
  std::string id_type;  ///< As name_of(IdType); of rows, "i32".
  std::string ids_as;   ///< Whose ids they are: as ids_as(). Empty: an output of an earlier program.
  int length = 0;       ///< Of rows: T; else 0.
  std::uint64_t rows = 0;
  bool stream_ended = false;     ///< Of rows: before there were as many as asked for.
  std::optional<StreamRow> end;  ///< Then: what lies behind the last row, as DataPipeline::end() tells it.
  std::vector<CorpusAccount> accounts;
  std::map<std::string, BlockChecksums> files;
};

/// With a checksum of its own at the end.
void to_json(nlohmann::ordered_json& json, const ExportManifest& manifest);
void from_json(const JsonValue& json, ExportManifest& manifest);

/// Throws ConfigError if `folder` is not a whole output (saying what it is), DataError if the manifest is damaged.
ExportManifest read_output_manifest(const std::filesystem::path& folder);

}  // namespace millrace
