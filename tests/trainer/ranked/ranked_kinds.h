#pragma once

#include <functional>
#include <memory>
#include <string>

#include <omp.h>

#include "model/config/model_config.h"
#include "model/cpu/cpu_device.h"
#include "tests/trainer/distributed/thread_ranks.h"
#include "trainer/config/train_config.h"
#include "trainer/distributed/orders.h"
#include "trainer/ranked/follow_orders.h"
#include "trainer/ranked/ranked_backend.h"

namespace millrace {

inline constexpr int kRows = 16;
inline constexpr int kLength = 24;
/// What is trained, and how.
struct Kind {
  std::string name;
  ModelConfig model;
  TrainConfig train;
};

inline Kind kind(const std::string& name, const std::function<void(ModelConfig&, TrainConfig&)>& change = {}) {
  Kind kind{name, model_preset("openmoe-micro"), {}};
  kind.model.capacity_rule = CapacityRule::flaxformer;
  kind.train.batch_rows = kRows;
  kind.train.micro_rows = 1;
  kind.train.loss_rows = kRows;
  kind.train.lanes = 8;
  kind.train.precision = "f32";
  if (change) change(kind.model, kind.train);
  return kind;
}

/// In bf16 by plain loops, which any processor has.
inline std::unique_ptr<Device> device_for(const TrainConfig& train) {
  return train.precision == "bf16" ? std::make_unique<CpuDevice>(Precision::bf16, ProductSource::loops)
                                   : std::make_unique<CpuDevice>(Precision::f32);
}

inline ProcessGrid data(int ranks) {
  return {.data = ranks};
}

/// All that may be a rank's alone: four layers, the second and the fourth with eight experts.
inline Kind spread(const std::string& name, const std::function<void(ModelConfig&, TrainConfig&)>& change = {}) {
  return kind(name, [&](ModelConfig& model, TrainConfig& train) {
    model.num_hidden_layers = 4;
    model.num_experts = 8;
    train.lanes = 4;
    train.expert_lanes = 4;
    if (change) change(model, train);
  });
}

/// `work` has rank 0's backend; the others follow.
inline void with_backend(const ProcessGrid& grid, const Kind& kind, const std::function<void(RankedBackend&)>& work) {
  test::with_ranks(grid.ranks(), [&](Communicator& all) {
    omp_set_num_threads(1);
    if (all.rank() != 0) {
      follow_orders(all, {.device = device_for});
      return;
    }
    {
      RankedBackend backend(all, rank_layout(grid, kind.model, kLength), device_for(kind.train), kind.model,
                            kind.train);
      work(backend);
    }
    give_order(all, {.kind = OrderKind::end});
  });
}

}  // namespace millrace
