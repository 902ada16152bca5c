#pragma once

#include <string>

#include "pipeline/rows/mixing_record.h"

namespace millrace {

/// How well rows are mixed, beside perfect shuffles of the same examples: pairs of rows of a batch that share a
/// document, how far windows of rows are from the whole, and what to do about figures that are far off.
std::string mixing_text(const MixingRecord& record);

}  // namespace millrace
