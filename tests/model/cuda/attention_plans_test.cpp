// What cuDNN makes of the graphs of attention for a card that is described to it, on a machine without one.
#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/cuda/attention_graph.h"

namespace millrace {
namespace {

/// An H100, as far as cuDNN asks.
const std::string kH100 =
    R"({"cudaDeviceId":0,"deviceName":"NVIDIA H100 80GB HBM3","deviceVer":900,"driverVer":13000,"isTccDriver":0,)"
    R"("l2CacheSize":52428800,"maxCtasPerSM":32,"maxRegistersPerSM":65536,"maxSharedMemoryPerBlock":49152,)"
    R"("maxSharedMemoryPerBlockOptin":232448,"maxThreadsPerBlock":1024,"maxGridSize":[2147483647,65535,65535],)"
    R"("maxBlockSize":[1024,1024,64],"maxThreadsPerSM":2048,"memClockRateKHz":2619000,"multiProcessorCount":132,)"
    R"("pciDeviceId":0,"regsPerBlock":65536,"reservedSharedMemoryPerBlock":1024,"smClockRateKHz":1980000,)"
    R"("supportCoopLaunch":1,"totalGlobalMem":85000000000,"warpSize":32,"smCountOrigin":0,)"
    R"("oversizedSharedMemoryPerBlock":0,"memoryBusWidth":5120})";

/// As the model has it: windows on q | k | v, and on their gradients.
AttentionForm form(std::int64_t rows, std::int64_t heads, std::int64_t length, std::int64_t width) {
  const std::int64_t all = heads * width;
  return {rows, heads, length, width, 3 * all, 3 * all, 3 * all, all, all, 3 * all, 3 * all, 3 * all};
}

TEST(AttentionPlans, AreMadeForWhatModelsHave) {
  const CudnnDescriptor card = device_properties(kH100);
  for (const AttentionForm& one : {form(16, 12, 2048, 64), form(8, 24, 2048, 128), form(4, 4, 256, 32)}) {
    SCOPED_TRACE(testing::Message() << one.heads << " heads of " << one.width);
    ASSERT_TRUE(is_for_cudnn(one));
    EXPECT_LT(CudnnPlan(attention_forward(one).graph, card, "attention").workspace_bytes(), std::size_t{1} << 20U);
    // Scores' gradients once more in bf16: what equal bits each time cost.
    const auto pairs = static_cast<std::size_t>(one.rows * one.heads * one.length * one.length);
    EXPECT_LT(CudnnPlan(attention_backward(one).graph, card, "its gradient").workspace_bytes(), 3 * pairs);
  }
}

TEST(AttentionPlans, WhereThereIsNoneItIsSaidOfWhat) {
  const CudnnDescriptor card = device_properties(kH100);
  const AttentionForm odd = form(2, 2, 20, 6);
  EXPECT_FALSE(is_for_cudnn(odd));
  try {
    CudnnPlan(attention_forward(odd).graph, card, "heads of 6");
    FAIL() << "a plan for heads of 6";
  } catch (const CudnnError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("no plan for heads of 6"));
  }
}

}  // namespace
}  // namespace millrace
