#pragma once

#include <string>
#include <vector>

#include "pipeline/export/export_manifest.h"
#include "pipeline/formats/document_writer.h"

namespace millrace {

/// What became of every record, corpus by corpus, and the rejects by cause; for people.
std::string account_text(const ExportManifest& manifest);

/// What --check found: a line a finding, or that all is well; as JSON {"damage": [{"file", "what"}]}.
std::string damage_text(const std::string& folder, const std::vector<Damage>& damage);
std::string damage_json(const std::vector<Damage>& damage);

}  // namespace millrace
