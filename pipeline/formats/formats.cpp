#include "pipeline/formats/formats.h"

#include <array>
#include <limits>

#include "pipeline/formats/mds_format.h"
#include "pipeline/formats/megatron_format.h"
#include "pipeline/formats/nanotron_format.h"
#include "pipeline/formats/olmo_format.h"
#include "pipeline/formats/rows_format.h"

namespace millrace {
namespace {

template <class Format>
const Format* named(const std::string& name, std::span<const Format> formats) {
  for (const Format& format : formats)
    if (name == format.name) return &format;
  return nullptr;
}

}  // namespace

std::span<const DocumentFormat> document_formats() {
  static const std::array formats{
      DocumentFormat{"megatron", megatron_id_type, make_megatron_writer, damage_of_megatron},
      DocumentFormat{"olmo", unsigned_id_type, make_olmo_writer, damage_of_olmo, 1ull << 30, true},
      DocumentFormat{"nanotron", unsigned_id_type, make_nanotron_writer, damage_of_nanotron},
  };
  return formats;
}

std::span<const RowFormat> row_formats() {
  static const std::array formats{
      RowFormat{"mds", std::numeric_limits<std::uint32_t>::max(), make_mds_writer, damage_of_mds},
      RowFormat{"mds-plain", std::numeric_limits<std::uint32_t>::max(), make_plain_mds_writer, damage_of_mds},
      RowFormat{"rows", std::numeric_limits<std::uint64_t>::max(), make_rows_writer, damage_of_rows},
  };
  return formats;
}

const DocumentFormat* document_format(const std::string& name) {
  return named(name, document_formats());
}

const RowFormat* row_format(const std::string& name) {
  return named(name, row_formats());
}

}  // namespace millrace
