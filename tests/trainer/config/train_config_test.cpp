#include "trainer/config/train_config.h"

#include <gtest/gtest.h>

#include "stages/errors.h"

namespace millrace {
namespace {

TEST(TrainConfig, ResolvesAutoToWhatTheProcessorHas) {
  EXPECT_EQ(resolved_precision("auto"), processor_has_bf16() ? "bf16" : "f32");
  EXPECT_EQ(resolved_precision("f32"), "f32");
  EXPECT_EQ(resolved_precision("bf16"), "bf16");
}

TEST(TrainConfig, RefusesAnUnknownPrecisionAndBf16WhereThereIsNone) {
  EXPECT_EQ(precision_named("f32"), Precision::f32);
  EXPECT_THROW(precision_named("f16"), ConfigError);
  if (processor_has_bf16()) {
    EXPECT_EQ(precision_named("bf16"), Precision::bf16);
  } else {
    EXPECT_THROW(precision_named("bf16"), ConfigError);
  }
}

}  // namespace
}  // namespace millrace
