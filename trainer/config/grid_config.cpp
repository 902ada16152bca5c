#include "trainer/config/grid_config.h"

#include <cstdint>

namespace millrace {

const KeyTable<GridWish>& grid_keys() {
  constexpr std::uint64_t kMostRanks = 1 << 20;
  static const KeyTable<GridWish> table = [] {
    KeyTable<GridWish> keys("grid");
    const auto add = [&](const char* name, int GridWish::*member, const char* meaning) {
      keys.add({.name = name,
                .range = WholeRange{1, kMostRanks},
                .unit = "ranks",
                .meaning = meaning,
                .alters = Alters::nothing},
               member);
    };
    add("expert", &GridWish::expert, "that share the experts; divides `expert_lanes`. [Not built yet](cluster.md): 1");
    add("tensor", &GridWish::tensor, "that share a layer's matrices. Not built yet: 1");
    add("pipeline", &GridWish::pipeline, "stages that share the layers. Not built yet: 1");
    return keys;
  }();
  return table;
}

}  // namespace millrace
