#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/device/device.h"

namespace millrace::test {

/// What a part of the check found.
struct Verdict {
  enum class Kind : std::uint8_t { pass, fail, skip };
  Kind kind = Kind::pass;
  std::string text;                ///< A line.
  std::vector<std::string> lines;  ///< More, in what was printed on the way.

  bool operator==(Kind other) const { return kind == other; }
};

inline Verdict verdict(bool holds, std::string text) {
  return {holds ? Verdict::Kind::pass : Verdict::Kind::fail, std::move(text), {}};
}

/// What is checked, and how large.
struct CheckSetup {
  /// A new device; throws with the reason when there is none.
  std::function<std::unique_ptr<Device>(const DeviceSettings&)> open;
  bool is_card = false;          ///< Sizes of a card; else small ones.
  std::filesystem::path golden;  ///< The folder of tests/golden.
};

// Each throws what a device throws.

/// Every kernel, product and attention of a small model's training beside the processor's, call by call.
Verdict check_kernels(const CheckSetup& setup, Precision precision);
/// Products of a model's shapes beside sums in f64 of some of their numbers.
Verdict check_products(const CheckSetup& setup, Precision precision);
/// Attention of a model's shapes beside the processor's; the same bits twice, if asked for.
Verdict check_attention(const CheckSetup& setup, bool deterministic);
Verdict check_golden(const CheckSetup& setup);
Verdict check_golden_in_bf16(const CheckSetup& setup);
Verdict check_same_bits(const CheckSetup& setup);
/// Steps of training beside the processor's.
Verdict check_losses(const CheckSetup& setup);
Verdict check_generation(const CheckSetup& setup);

/// What a model is trained on, to be timed.
struct TrainingCase {
  const char* preset = "openmoe-base";
  int rows = 16;
  int length = 2048;
  /// As OpenMoE's rows are on average: 67 % real, 30 % with loss. Else all are real, and all have a loss.
  bool is_padded = false;
  bool recompute = false;
  bool deterministic = true;
};
/// Tokens a second of training steps, the share of the device's own rate of products, and milliseconds a part. Skips
/// where memory is short.
Verdict measure_training(const CheckSetup& setup, const TrainingCase& training);
Verdict measure_products(const CheckSetup& setup, Precision precision);
/// Bytes a second of copying rows, read and written.
Verdict measure_memory(const CheckSetup& setup);
/// Tokens a second of one text, and the bytes a second of the weights that they use.
Verdict measure_generation(const CheckSetup& setup, const char* preset);

}  // namespace millrace::test
