#pragma once

#include "pipeline/keys/key_table.h"

namespace millrace {

/// How somebody wants ranks to be arranged: [grid] of a run file, or --grid.
struct GridWish {
  int data = 0;  ///< 0: what is left.
  int expert = 1;
  int tensor = 1;
  int pipeline = 1;
};

/// The keys of [grid]. They are no part of a run: its folder does not keep them.
const KeyTable<GridWish>& grid_keys();

}  // namespace millrace
