#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/stream/document_search.h"

namespace millrace {

/// Which of the first `end` rows held a document, as a table.
std::string document_text(const FoundDocument& found, std::uint64_t end);

/// The same of all corpora that have the document, as one object of JSON.
std::string documents_json(const std::vector<FoundDocument>& found, std::uint64_t end);

}  // namespace millrace
