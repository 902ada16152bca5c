#include "trainer/backend/open_device.h"

#include <fmt/format.h>
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
  EXPECT_EQ(open_device("cpu", {}, "--device")->precision(), Precision::f32);
  EXPECT_THAT(refusal([] { open_device("tpu", {}, "--device"); }),
              AllOf(HasSubstr("--device is \"tpu\""), HasSubstr("\"auto\", \"cpu\" or \"cuda\"")));
}

TEST(OpenDevice, SaysWhyThereIsNoCardAndAutoThenTakesTheProcessor) {
  const std::string reason = open_cuda({}).reason;
  if (reason.empty()) GTEST_SKIP() << "this machine has a card";
  EXPECT_EQ(refusal([] { open_device("cuda", {}, "train.device"); }), "train.device is \"cuda\", but " + reason);
  EXPECT_TRUE(open_device("auto", {}, "train.device")->reads_host_memory());
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

/// A card with a gradient of attention for short rows only.
struct ShortRowsCard : CountingDevice {
  ShortRowsCard() : CountingDevice(Precision::bf16, false) {}
  std::string name() const override { return "a card"; }
  std::string fault_of_attend_backward(Index rows, Index length, Index heads, Index width) override {
    return length <= 512 ? "" : fmt::format("no plan for {} x {} x {} x {}", rows, length, heads, width);
  }
};

TEST(OpenDevice, RefusesToTrainWhereThereIsNoGradientButNotToScore) {
  const ModelConfig model = model_preset("openmoe-micro");
  TrainConfig train;
  train.micro_rows = 3;
  ShortRowsCard card;
  EXPECT_EQ(refusal([&] { refuse_what_it_cannot_train(card, model, train, 512); }), "");
  EXPECT_EQ(refusal([&] { refuse_what_it_cannot_train(card, model, train, 513); }),
            fmt::format("a card cannot train this model: no plan for 3 x 513 x {} x {}", model.num_attention_heads,
                        model.head_dim));
  EXPECT_EQ(refusal([&] { refuse_what_it_cannot(card, model); }), "");
}

TEST(OpenDevice, IsDeterministicUnlessTheRunSaysOtherwise) {
  TrainConfig train;
  EXPECT_TRUE(device_settings(train).deterministic);
  train.deterministic = false;
  EXPECT_FALSE(device_settings(train).deterministic);
}

}  // namespace
}  // namespace millrace
