#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/rows/row_mixing.h"

namespace millrace {

/// How well rows are mixed, beside perfect shuffles of the same examples: pairs of rows of a batch that share a
/// document, and how far windows of rows are from the whole. `corpora`: as `mixing` measured them; `names`: of the
/// run's corpora.
std::string mixing_text(const RowMixing& mixing, const std::vector<CorpusMixing>& corpora,
                        const std::vector<std::string>& names);
nlohmann::ordered_json mixing_json(const RowMixing& mixing, const std::vector<CorpusMixing>& corpora,
                                   const std::vector<std::string>& names);

}  // namespace millrace
