#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stages/philox.h"
#include "tests/trainer/tiny_model.h"
#include "trainer/optimizer/make_optimizer.h"
#include "trainer/optimizer/optimizer.h"
#include "trainer/run/compute_threads.h"

namespace millrace {
namespace {

/// Has tensors that Adafactor factors, and others.
ModelConfig config_of_model() {
  ModelConfig config = tiny_model();
  config.hidden_size = 128;
  return config;
}

/// A tiny model with random values and gradients, and an optimizer.
struct Training {
  explicit Training(const std::string& optimizer_name)
      : memory(config_of_model(), ParameterMemory<float>::Gradients::allocated) {
    memory.initialize([](std::uint64_t tensor, std::uint64_t element) {
      return ItemRng(3, Purpose::parameter_init, item_of({tensor, element})).uniform();
    });
    ItemRng rng(4, Purpose::parameter_init, 0);
    for (const Parameter<float>& parameter : memory.views().all)
      for (std::int64_t i = 0; i < parameter.spec.size(); ++i) parameter.grad[i] = static_cast<float>(rng.normal());
    TrainConfig config;
    config.optimizer = optimizer_name;
    optimizer = make_optimizer(config, memory.views());
  }
  UpdateNorms update() { return optimizer->update(memory.views(), 0.01); }
  std::vector<float> values() const {
    std::vector<float> all;
    for (const Parameter<float>& parameter : memory.views().all)
      all.insert(all.end(), parameter.value, parameter.value + parameter.spec.size());
    return all;
  }

  ParameterMemory<float> memory;
  std::unique_ptr<Optimizer> optimizer;
};

double norm(const std::vector<double>& x) {
  double sum = 0;
  for (const double element : x) sum += element * element;
  return std::sqrt(sum);
}

class UpdateNormsTest : public testing::TestWithParam<const char*> {
 protected:
  ~UpdateNormsTest() override { set_compute_threads(0); }
};

TEST_P(UpdateNormsTest, AreThoseOfTheValuesBeforeAndOfWhatChanged) {
  Training training(GetParam());
  for (int step = 0; step < 3; ++step) {
    const std::vector<float> before = training.values();
    const UpdateNorms norms = training.update();
    const std::vector<float> after = training.values();
    std::vector<double> change;
    for (std::size_t i = 0; i < after.size(); ++i) change.push_back(double{after[i]} - double{before[i]});
    EXPECT_NEAR(norms.values, norm({before.begin(), before.end()}), 1e-9 * norms.values);
    EXPECT_NEAR(norms.change, norm(change), 1e-5 * norms.change);
    EXPECT_GT(norms.change, 0);
  }
}

TEST_P(UpdateNormsTest, HaveTheSameBitsForAnyNumberOfThreads) {
  set_compute_threads(1);
  const UpdateNorms one = Training(GetParam()).update();
  for (const int threads : {2, 3}) {
    set_compute_threads(threads);
    const UpdateNorms more = Training(GetParam()).update();
    EXPECT_EQ(more.values, one.values);
    EXPECT_EQ(more.change, one.change);
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, UpdateNormsTest, testing::Values("adafactor", "adamw"));

}  // namespace
}  // namespace millrace
