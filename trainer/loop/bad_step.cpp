#include "trainer/loop/bad_step.h"

#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "pipeline/json_text.h"

namespace millrace {

namespace {

/// Prints NaN without a sign.
std::string shown(double number) {
  return std::isnan(number) ? "nan" : fmt::format("{}", number);
}

}  // namespace

std::string why_bad(double loss, double gradient_norm) {
  if (!std::isfinite(loss)) return "loss is " + shown(loss);
  // The optimizers square gradients in f32.
  static const double kMost = std::sqrt(static_cast<double>(std::numeric_limits<float>::max()));
  if (!(gradient_norm <= kMost)) return "gradient norm is " + shown(gradient_norm);
  return "";
}

Json skipped_line(const TrainState& state, const std::string& why, double seconds, double data_wait) {
  return {{"step", state.step},
          {"tokens", state.ledger.positions()},
          {"skipped", why},
          {"step_s", seconds},
          {"data_wait_s", data_wait}};
}

std::string warning_of_losses(const TrainState& state) {
  constexpr std::uint64_t kPatience = 50;
  if (state.above_first_loss != kPatience) return "";
  return fmt::format(
      "the loss has been above the first step's, {:.4f}, for {} steps: it is {:.4f} in step {}. The run learns "
      "nothing: a "
      "smaller train.learning_rate, a warm-up or train.clip_norm may help",
      state.first_loss->loss, kPatience, state.last_loss->loss, state.step);
}

}  // namespace millrace
