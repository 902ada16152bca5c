#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/device/buffer.h"
#include "model/layers/router.h"
#include "model/pass/expert_exchange.h"
#include "model/pass/pass.h"

namespace millrace {

/// The slots of all members' micro-batches at the experts here, an entry a member: what backward needs. Of one layer.
struct Met {
  std::vector<Buffer> slots, gated;  ///< Of the experts: input, v | g | u.
  std::vector<Buffer> first;         ///< (1, experts here + 1): where each expert's slots begin
  std::vector<Buffer> pair;          ///< (most slots, 1), as Routing's: with dropout
  std::vector<Buffer> expert;        ///< (N, k): likewise, of the pairs here
  std::vector<std::int64_t> told;    ///< Of each: its micro-batch's first row of the step, then Routing::first.
};

/// Takes slots to the members that have their experts, and back (model/pass/expert_exchange.h). What a member has for
/// one expert stays together, empty slots too: the expert works on the rows that it would work on if all were in one
/// place, so that every number keeps its bits. REQUIRES: the device's memory is the process's.
class SlotExchange {
 public:
  SlotExchange(const Pass& pass, Index experts_here, Met& met);

  /// Tells the members how many slots come. With `mask`, also which tokens have them.
  void meet(const Routing& routing, const DropoutMask& mask);

  /// Room for the slots of each member: as many rows as a member may fill at the experts here.
  void shape(std::vector<Buffer>& there, Index columns, Type type) const;
  /// The own slots, (slots, columns), go to where their experts are; those of each member come here.
  void take(const Tensor& slots, std::vector<Buffer>& there);
  /// The way back.
  void bring(const std::vector<Buffer>& there, const Tensor& slots);

  /// How rows are dropped inside the experts for a member's tokens: as `mask`, which is that of the own ones.
  DropoutMask mask_of(std::size_t member, DropoutMask mask) const;

 private:
  struct Rows {
    Index first;
    Index count;
  };
  static std::span<std::byte> bytes_of_rows(const Tensor& all, Rows rows);
  Rows rows(Index from, Index to) const;  ///< Of `from`'s slots, those at the experts of `to`.
  Rows came_from(Index member) const { return {0, rows(member, exchange_.member()).count}; }
  void make_room(std::vector<Buffer>& of_each) const;
  void meet_pairs(const Routing& routing);
  std::span<const std::int64_t> told_by(std::size_t member) const;

  const Pass& pass_;
  ExpertExchange& exchange_;
  Met& met_;
  Index here_;
  Index most_;  ///< Slots that a member may fill here.
};

}  // namespace millrace
