#pragma once

#include <string>

#include "pipeline/formats/document_writer.h"
#include "pipeline/formats/row_writer.h"

namespace millrace {

/// megatron, olmo or nanotron; nullptr if it is none of them.
const DocumentFormat* document_format(const std::string& name);

/// mds or rows; nullptr if it is neither.
const RowFormat* row_format(const std::string& name);

}  // namespace millrace
