#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/plan/available_tokens.h"

namespace millrace {

/// What would make estimated counts of available tokens exact, in lines for people: the command that counts the
/// corpora, as it can be run, and the corpora that no index can count, and why. Empty where nothing is estimated.
std::string index_hint(const StreamConfig& stream, const std::vector<RunCorpus>& corpora,
                       const std::vector<AvailableTokens>& available, const std::filesystem::path& vocabulary);

}  // namespace millrace
