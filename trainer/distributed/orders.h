#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/distributed/communicator.h"

namespace millrace {

/// What rank 0 tells all others to do together with it. They wait for it between two orders.
enum class OrderKind : std::uint32_t {
  begin,     ///< A run folder: text, JSON.
  make,      ///< Model and training: text, JSON.
  settings,  ///< Likewise, of the next phase.
  values,    ///< Take rank 0's weights and optimizer state.
  step,      ///< `count` micro-batches, each `size` bytes on the wire and `a` of the step.
  score,     ///< A batch of `size` bytes on the wire for each.
  norm,
  update,  ///< With learning rate `a`, gradients times `b`.
  save,    ///< Begin to write a checkpoint's tensors: text, JSON.
  report,  ///< Say how that stands.
  check,   ///< Look for damage in a share of a checkpoint's files; its folder: text.
  end,     ///< All is done.
};

struct Order {
  OrderKind kind = OrderKind::end;
  std::uint32_t text_size = 0;
  std::uint64_t count = 0;
  std::uint64_t size = 0;
  double a = 0;
  double b = 0;
};

/// Rank 0 gives an order, and the others take it. All call it at the same time.
void give_order(Communicator& ranks, Order order, const std::string& text = {});
Order take_order(Communicator& ranks, std::string& text);

/// Each rank's text, at rank 0; elsewhere nothing. All call it.
std::vector<std::string> gather_texts(Communicator& ranks, const std::string& mine);

}  // namespace millrace
