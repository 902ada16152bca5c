#pragma once

#include <vector>

#include "model/optimizer/owned_parts.h"

namespace millrace {

/// Who updates what: the parts of each of `owners`, in order, together everything once. A function of its arguments
/// alone. The units are whole tensors, and of experts' tensors each expert's matrix; matrices above a quarter of a fair
/// share are cut at pieces of rows. The largest go first, each to whom has least, ties to the first of them; then each
/// owner's pieces of a cut matrix are put together, so that it has one run of its rows. REQUIRES: owners >= 1.
std::vector<std::vector<ParameterPart>> ownership(const std::vector<ParameterSpec>& specs, int owners);

/// Numbers in a part.
Index size_of(const ParameterPart& part, const std::vector<ParameterSpec>& specs);
Index size_of(const std::vector<ParameterPart>& parts, const std::vector<ParameterSpec>& specs);

}  // namespace millrace
