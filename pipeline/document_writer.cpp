#include "pipeline/document_writer.h"

#include <array>

#include "pipeline/megatron_format.h"
#include "pipeline/nanotron_format.h"
#include "pipeline/olmo_format.h"

namespace millrace {

const DocumentFormat* document_format(const std::string& name) {
  static const std::array<DocumentFormat, 3> formats{{
      {"megatron", megatron_id_type, make_megatron_writer, damage_of_megatron},
      {"olmo", olmo_id_type, make_olmo_writer, damage_of_olmo},
      {"nanotron", nanotron_id_type, make_nanotron_writer, damage_of_nanotron},
  }};
  for (const DocumentFormat& format : formats)
    if (name == format.name) return &format;
  return nullptr;
}

}  // namespace millrace
