#pragma once

#include <filesystem>

#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// Opens a vocabulary; warns on stderr if it needs the slower encoder. Throws as Vocabulary does.
Vocabulary open_vocabulary(const std::filesystem::path& file);

}  // namespace millrace
