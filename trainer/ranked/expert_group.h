#pragma once

#include <span>

#include "model/pass/expert_exchange.h"
#include "trainer/distributed/communicator.h"

namespace millrace {

/// Ranks that share a stage's experts.
class ExpertGroup : public ExpertExchange {
 public:
  /// `members` outlives this. `activity` is told what this rank waits for.
  ExpertGroup(Communicator& members, Activity& activity) : ranks_(members), activity_(activity) {}

  Index members() const override { return ranks_.size(); }
  Index member() const override { return ranks_.rank(); }
  void gather(In mine, Out all) override;
  void swap(std::span<const In> to, std::span<const Out> from) override;

 private:
  /// Waits, and goes on with what the rank did.
  void wait(Pending begun);

  Communicator& ranks_;
  Activity& activity_;
};

}  // namespace millrace
