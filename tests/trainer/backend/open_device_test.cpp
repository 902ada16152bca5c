#include "trainer/backend/open_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/device/counting_device.h"
#include "model/device/open_cuda.h"
#include "stages/errors.h"

namespace millrace {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(OpenDevice, GivesTheProcessorOrSaysWhatItExpects) {
  EXPECT_EQ(open_device("cpu", Precision::f32, "--device")->precision(), Precision::f32);
  EXPECT_THAT(refusal([] { open_device("tpu", Precision::f32, "--device"); }),
              AllOf(HasSubstr("--device is \"tpu\""), HasSubstr("\"auto\", \"cpu\" or \"cuda\"")));
}

TEST(OpenDevice, SaysWhyThereIsNoCardAndAutoThenTakesTheProcessor) {
  const std::string reason = open_cuda(Precision::f32).reason;
  if (reason.empty()) GTEST_SKIP() << "this machine has a card";
  EXPECT_EQ(refusal([] { open_device("cuda", Precision::f32, "train.device"); }),
            "train.device is \"cuda\", but " + reason);
  EXPECT_TRUE(open_device("auto", Precision::f32, "train.device")->reads_host_memory());
}

TEST(OpenDevice, RefusesDroplessWhereExpertsHaveFixedPlaces) {
  ModelConfig model = model_preset("openmoe-micro");
  const CountingDevice card(Precision::bf16, false);
  const CountingDevice processor(Precision::bf16, true);
  EXPECT_EQ(refusal([&] { refuse_what_it_cannot(card, model); }), "");
  model.capacity_rule = CapacityRule::dropless;
  EXPECT_THAT(refusal([&] { refuse_what_it_cannot(card, model); }),
              AllOf(HasSubstr("dropless"), HasSubstr("flaxformer")));
  EXPECT_EQ(refusal([&] { refuse_what_it_cannot(processor, model); }), "");
}

}  // namespace
}  // namespace millrace
