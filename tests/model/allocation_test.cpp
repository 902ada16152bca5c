// Counts what a step allocates. oneDNN's own small argument lists cannot be avoided, so what is counted are pieces of
// memory that could hold activations: a page or more.
#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "model/transformer.h"
#include "tests/model/test_support.h"

namespace {

constexpr std::size_t kPage = 4096;
std::atomic<int> large_allocations{0};

void* counted(std::size_t bytes) {
  if (bytes >= kPage) ++large_allocations;
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) {
  return counted(bytes);
}
void* operator new[](std::size_t bytes) {
  return counted(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace millrace {
namespace {

TEST(Allocation, NoStepAllocatesActivationsAfterTheFirst) {
  ModelConfig config = model_preset("openmoe-micro");
  config.capacity_rule = CapacityRule::dropless;
  const test::RandomBatch batch(2, 200, config.vocab_size, 1);
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    ParameterMemory<float> memory(config, ParameterMemory<float>::Gradients::allocated, precision);
    memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
    memory.round_values();
    Transformer<float> model(config, memory.views());
    model.forward_backward(batch.view(), 1.0);
    model.forward_backward(batch.view(), 1.0);
    const int before = large_allocations;
    for (int step = 0; step < 3; ++step) model.forward_backward(batch.view(), 1.0);
    EXPECT_EQ(large_allocations - before, 0);
  }
}

}  // namespace
}  // namespace millrace
