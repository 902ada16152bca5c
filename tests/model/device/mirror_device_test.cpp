#include "tests/model/device/mirror_device.h"

#include <gtest/gtest.h>

#include "model/optimizer/adafactor.h"
#include "model/optimizer/adamw.h"
#include "tests/model/kernels/ordered_device.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

/// A training step on two devices, of which one makes its sums in another order.
std::map<std::string, MirrorResult> step_beside(Device& checked, Precision precision) {
  CpuDevice trusted(precision, ProductSource::loops);
  MirrorDevice device(trusted, checked);
  ModelConfig config = model_preset("openmoe-micro");
  config.capacity_rule = CapacityRule::flaxformer;
  config.head_dim = 8;
  ParameterMemory weights(device, config, ParameterMemory::Gradients::allocated);
  weights.initialize([](std::uint64_t tensor, std::uint64_t element) { return uniform(tensor + 7, element); });
  weights.round_values();
  Adafactor adafactor(device, weights.views());
  AdamW adamw(device, weights.views(), {});
  Transformer model(device, config, weights.views());
  const RandomBatch batch(2, 40, config.vocab_size, 5);
  model.score(batch.view());
  model.forward_backward(batch.view(), 0.5);
  for (Optimizer* optimizer : {static_cast<Optimizer*>(&adafactor), static_cast<Optimizer*>(&adamw)}) {
    optimizer->gradient_norm();
    optimizer->update(0.01, 0.7);
  }
  return device.results();
}

TEST(MirrorDevice, SeesThatEveryKernelGivesTheSameButForTheOrderOfSums) {
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    OrderedDevice checked(precision, Order::forwards, false);
    const auto results = step_beside(checked, precision);
    EXPECT_GT(results.size(), 30U);
    for (const auto& [name, result] : results) {
      EXPECT_TRUE(result.holds()) << name << ": " << result.worst << ", " << result.different << " integers differ";
    }
  }
}

/// A device of which one kernel is a little wrong.
class WrongDevice : public CpuDevice {
 public:
  using CpuDevice::CpuDevice;
  void run(const AnyKernel& kernel, Index blocks) override {
    CpuDevice::run(kernel, std::holds_alternative<NormRows>(kernel) ? blocks - 1 : blocks);
  }
  bool has_ragged_products() const override { return false; }
};

TEST(MirrorDevice, NamesTheWorkThatIsWrongAndNoOther) {
  WrongDevice checked(Precision::f32, ProductSource::loops);
  for (const auto& [name, result] : step_beside(checked, Precision::f32))
    EXPECT_EQ(result.holds(), name != "NormRows") << name;
}

}  // namespace
}  // namespace millrace
