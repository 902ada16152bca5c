#pragma once

#include <string>
#include <vector>

#include "pipeline/export/export_manifest.h"
#include "pipeline/formats/document_writer.h"

namespace millrace {

/// A text report of what happened to the records, per corpus, and the rejects by cause.
std::string account_text(const ExportManifest& manifest);

/// What --check found: one line per finding, or that there is no damage; as JSON {"damage": [{"file", "what"}]}.
std::string damage_text(const std::string& folder, const std::vector<Damage>& damage);
std::string damage_json(const std::vector<Damage>& damage);

}  // namespace millrace
