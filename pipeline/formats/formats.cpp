#include "pipeline/formats/formats.h"

#include <array>
#include <limits>

#include "pipeline/formats/mds_format.h"
#include "pipeline/formats/megatron_format.h"
#include "pipeline/formats/nanotron_format.h"
#include "pipeline/formats/olmo_format.h"
#include "pipeline/formats/rows_format.h"

namespace millrace {

const DocumentFormat* document_format(const std::string& name) {
  static const std::array<DocumentFormat, 3> formats{{
      {"megatron", megatron_id_type, make_megatron_writer, damage_of_megatron},
      {"olmo", unsigned_id_type, make_olmo_writer, damage_of_olmo},
      {"nanotron", unsigned_id_type, make_nanotron_writer, damage_of_nanotron},
  }};
  for (const DocumentFormat& format : formats)
    if (name == format.name) return &format;
  return nullptr;
}

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
