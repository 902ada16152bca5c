#pragma once

#include <string>

#include "pipeline/sample/sample_sources.h"

namespace millrace {

/// Why a file of the machine is no document of the sample.
enum class LeftOut : std::uint8_t { none, binary, not_utf8, duplicate, too_small, too_large, unreadable };
inline constexpr int kLeftOutKinds = 7;
const char* name_of(LeftOut reason);

/// Reads a source, decompressed; manual pages lose their markup. `text` is set if the result is LeftOut::none.
LeftOut load_sample_text(const SampleSource& source, SampleCorpus corpus, std::string& text);

}  // namespace millrace
