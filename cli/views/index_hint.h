#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/plan/available_tokens.h"

namespace millrace {

/// How to make estimated counts of available tokens exact, as text: the command that counts the corpora, ready to run,
/// and the corpora that no index can count, and why. Empty if nothing is estimated.
std::string index_hint(const StreamConfig& stream, const std::vector<RunCorpus>& corpora,
                       const std::vector<AvailableTokens>& available, const std::filesystem::path& vocabulary);

}  // namespace millrace
