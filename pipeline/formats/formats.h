#pragma once

#include <span>
#include <string>

#include "pipeline/formats/document_writer.h"
#include "pipeline/formats/row_writer.h"

namespace millrace {

/// All that there are.
std::span<const DocumentFormat> document_formats();
std::span<const RowFormat> row_formats();

/// The one of that name; nullptr if there is none.
const DocumentFormat* document_format(const std::string& name);
const RowFormat* row_format(const std::string& name);

/// "megatron, olmo": the names of `formats`.
template <class Format>
std::string names_of(std::span<const Format> formats) {
  std::string names;
  for (const Format& format : formats) names += (names.empty() ? "" : ", ") + std::string(format.name);
  return names;
}

}  // namespace millrace
