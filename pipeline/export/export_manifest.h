#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pipeline/export/export_account.h"
#include "pipeline/formats/block_checksums.h"
#include "pipeline/formats/export_identity.h"
#include "pipeline/formats/staged_folder.h"

namespace millrace {

/// What a whole output folder says of itself in kOutputManifest, which is written last.
struct OutputManifest {
  OutputIdentity identity;
  std::string id_type;  ///< As name_of(IdType); of rows, "i32".
  int length = 0;       ///< Of rows: T; else 0.
  std::uint64_t rows = 0;
  bool stream_ended = false;  ///< Of rows: before there were as many as asked for.
  std::string end;            ///< Then: the story of what lies behind the last row, as story_of(DataPipeline::end()).
  std::vector<CorpusAccount> accounts;
  std::map<std::string, FileSums> files;
};

/// JSON with a checksum of its own at the end.
std::string to_json(const OutputManifest& manifest);

/// Throws ConfigError if `folder` is not a whole output (saying what it is), DataError if the manifest is damaged.
OutputManifest read_output_manifest(const std::filesystem::path& folder);

/// `json`: what to_json gave. Throws ConfigError.
OutputManifest output_manifest_from_json(const JsonValue& json);

}  // namespace millrace
