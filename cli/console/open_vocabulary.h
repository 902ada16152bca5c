#pragma once

#include <filesystem>

#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// Opens a vocabulary; says on stderr if its text has to go the slower way. Throws as Vocabulary does.
Vocabulary open_vocabulary(const std::filesystem::path& file);

}  // namespace millrace
