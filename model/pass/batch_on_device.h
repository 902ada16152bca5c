#pragma once

#include "model/config/model_config.h"
#include "model/device/buffer.h"
#include "model/pass/batch_layout.h"
#include "model/pass/pass.h"
#include "model/pass/rope_table.h"
#include "model/pass/routing_plan.h"

namespace millrace {

/// The layout of a micro-batch, in the device's memory, and what all layers know of it.
class BatchOnDevice {
 public:
  BatchOnDevice(Device& device, const ModelConfig& config)
      : device_(device),
        config_(config),
        rope_(device, config.head_dim, config.rope_theta),
        position_(device),
        first_key_(device),
        real_(device),
        routed_(device),
        group_weight_(device) {}

  /// Makes room for positions up to this one, so that no pass need do so.
  void reserve(std::int32_t positions) { rope_.reserve(positions); }

  /// Of a batch. Throws std::out_of_range for a negative position.
  Pass load(const TokenBatch& batch, Mode mode, Profile* profile);
  Pass load(BatchLayout layout, Mode mode, Profile* profile);
  /// Of `count` positions behind `fed` others of one row, none of which is padding; nobody asks for losses. Of as many
  /// as before, it is the same pass but for what lies in memory.
  Pass load_more(int count, std::int32_t fed, Profile* profile);

  const BatchLayout& layout() const { return layout_; }
  const RoutingPlan& routing() const { return routing_; }

 private:
  Pass loaded(Mode mode, Profile* profile);

  Device& device_;
  const ModelConfig& config_;
  BatchLayout layout_;
  RoutingPlan routing_;
  RopeTable rope_;
  Buffer position_, first_key_, real_, routed_, group_weight_;
};

}  // namespace millrace
