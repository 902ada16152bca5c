#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/stream/document_search.h"

namespace millrace {

/// Which of the first `end` rows contain a document, as a table.
std::string document_text(const FoundDocument& found, std::uint64_t end);

/// The same for all corpora that have the document, as one JSON object.
std::string documents_json(const std::vector<FoundDocument>& found, std::uint64_t end);

}  // namespace millrace
