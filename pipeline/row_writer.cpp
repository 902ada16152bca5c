#include "pipeline/row_writer.h"

#include <array>
#include <limits>

#include "pipeline/mds_format.h"
#include "pipeline/rows_format.h"

namespace millrace {

const RowFormat* row_format(const std::string& name) {
  static const std::array<RowFormat, 2> formats{{
      {"mds", std::numeric_limits<std::uint32_t>::max(), make_mds_writer, damage_of_mds},
      {"rows", std::numeric_limits<std::uint64_t>::max(), make_rows_writer, damage_of_rows},
  }};
  for (const RowFormat& format : formats)
    if (name == format.name) return &format;
  return nullptr;
}

}  // namespace millrace
