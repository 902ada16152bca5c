// foreign_container on the input as a file's beginning: it always gives an answer; the bytes are foreign as one text
// only if they are foreign as lines, too; and the same bytes packed by gzip get the same name.
#include <cstdint>
#include <string>
#include <string_view>

#include "stages/compression/gzip_member.h"
#include "stages/shards/foreign_container.h"
#include "tests/fuzz/require.h"

namespace millrace {
namespace {

void try_head(std::string_view head) {
  const auto as_lines = foreign_container(head, false);
  const auto as_text = foreign_container(head, true);
  require(!as_text || as_lines, "what is no text is no lines either");
  require(!as_lines || (!as_lines->name.empty() && !as_lines->remedy.empty()), "a kind has a name and a remedy");
  if (!as_lines || as_lines->name.find(" in ") != std::string::npos || head.size() > kHeadBytes) return;
  if (as_lines->name == "zstd with a dictionary") return;  // Packed by gzip it is only "packed twice".
  GzipMember member;
  const std::string packed = member.add(head) + member.finish();
  const auto inside = foreign_container(packed, false);
  require(inside && inside->name == as_lines->name + " in gzip", "packing hides nothing");
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  millrace::try_head({reinterpret_cast<const char*>(data), size});
  return 0;
}
