// What cuDNN makes of the graphs of attention for a card that is described to it, on a machine without one.
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/cudnn/attention_graph.h"

namespace millrace {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// An H100, as far as cuDNN asks.
const std::string kH100 =
    R"({"cudaDeviceId":0,"deviceName":"NVIDIA H100 80GB HBM3","deviceVer":900,"driverVer":13000,"isTccDriver":0,)"
    R"("l2CacheSize":52428800,"maxCtasPerSM":32,"maxRegistersPerSM":65536,"maxSharedMemoryPerBlock":49152,)"
    R"("maxSharedMemoryPerBlockOptin":232448,"maxThreadsPerBlock":1024,"maxGridSize":[2147483647,65535,65535],)"
    R"("maxBlockSize":[1024,1024,64],"maxThreadsPerSM":2048,"memClockRateKHz":2619000,"multiProcessorCount":132,)"
    R"("pciDeviceId":0,"regsPerBlock":65536,"reservedSharedMemoryPerBlock":1024,"smClockRateKHz":1980000,)"
    R"("supportCoopLaunch":1,"totalGlobalMem":85000000000,"warpSize":32,"smCountOrigin":0,)"
    R"("oversizedSharedMemoryPerBlock":0,"memoryBusWidth":5120})";

/// The same of another compute capability: a hint at what cuDNN has for such cards.
CudnnCard card(const std::string& capability) {
  std::string properties = kH100;
  const std::string of_h100 = "\"deviceVer\":900";
  return device_properties(properties.replace(properties.find(of_h100), of_h100.size(), "\"deviceVer\":" + capability));
}

const AttentionForm kBase = packed_form(8, 2048, 12, 64);

TEST(AttentionPlans, AreMadeForWhatModelsHave) {
  std::vector<AttentionForm> forms{packed_form(16, 2048, 12, 64), packed_form(8, 2048, 24, 128),
                                   packed_form(4, 256, 4, 32)};
  for (std::size_t i = 0; i < 2; ++i) {
    forms.push_back(forms[i]);
    forms.back().is_causal = true;
  }
  for (const AttentionForm& one : forms) {
    SCOPED_TRACE(testing::Message() << one.heads << " heads of " << one.width << ", causal " << one.is_causal);
    ASSERT_TRUE(is_for_cudnn(one));
    EXPECT_LT(CudnnPlan(attention_forward(one).graph, card("900"), "attention").workspace_bytes(),
              std::size_t{1} << 20U);
    // Scores' gradients once more in bf16: what equal bits each time cost.
    const auto pairs = static_cast<std::size_t>(one.rows * one.heads * one.length * one.length);
    EXPECT_LT(CudnnPlan(attention_backward(one, true).graph, card("900"), "its gradient").workspace_bytes(), 3 * pairs);
    // Without, a small part of it.
    EXPECT_LT(CudnnPlan(attention_backward(one, false).graph, card("900"), "its gradient").workspace_bytes(),
              pairs / 4);
  }
}

TEST(AttentionPlans, OfGradientsAreThereOrItIsSaidWhatElseIs) {
  EXPECT_EQ(fault_of_gradient(kBase, true, card("900")), "");
  EXPECT_EQ(fault_of_gradient(kBase, false, card("900")), "");
  EXPECT_EQ(fault_of_gradient(kBase, false, card("1000")), "");
  EXPECT_THAT(fault_of_gradient(kBase, true, card("1000")),
              AllOf(HasSubstr("no plan for the gradient of attention of 8 rows of 2048, 12 heads of 64, with the same "
                              "bits each time, on this card"),
                    HasSubstr("train.deterministic = false"), HasSubstr("train.precision = \"f32\"")));
  for (const bool deterministic : {true, false})
    EXPECT_THAT(fault_of_gradient(kBase, deterministic, card("800")),
                AllOf(HasSubstr("no plan for the gradient of attention"), Not(HasSubstr("train.deterministic = ")),
                      HasSubstr("train.precision = \"f32\""), HasSubstr("Evaluating and generating need no gradient")));
}

TEST(AttentionPlans, ForScoresAloneAreThereOnEveryCard) {
  for (const char* capability : {"800", "900", "1000"})
    EXPECT_NO_THROW(CudnnPlan(attention_forward(kBase).graph, card(capability), capability));
}

TEST(AttentionPlans, OfRowsOfOneSegmentReadNoFirstKeys) {
  AttentionCall call;
  call.rows = 2;
  call.heads = 4;
  for (Tensor* tensor : {&call.q, &call.k, &call.v, &call.out}) *tensor = {nullptr, Type::bf16, 512, 128, 128};
  EXPECT_NE(attention_forward(form_of(call)).first_key, 0);
  EXPECT_NE(attention_backward(form_of(call), true).first_key, 0);
  call.is_causal = true;
  EXPECT_EQ(attention_forward(form_of(call)).first_key, 0);
  EXPECT_EQ(attention_backward(form_of(call), true).first_key, 0);
}

TEST(AttentionPlans, WhereThereIsNoneItIsSaidOfWhat) {
  const AttentionForm odd = packed_form(2, 20, 2, 6);
  EXPECT_FALSE(is_for_cudnn(odd));
  try {
    CudnnPlan(attention_forward(odd).graph, card("900"), "heads of 6");
    FAIL() << "a plan for heads of 6";
  } catch (const CudnnError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no plan for heads of 6"));
  }
}

}  // namespace
}  // namespace millrace
