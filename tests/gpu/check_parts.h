#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
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

/// What is checked, and how large.
struct CheckSetup {
  /// A new device of a precision; throws with the reason when there is none.
  std::function<std::unique_ptr<Device>(Precision)> open;
  bool is_card = false;          ///< Sizes of a card; else small ones.
  std::filesystem::path golden;  ///< The folder of tests/golden.
};

/// Each throws what a device throws.
Verdict check_kernels(const CheckSetup& setup, Precision precision);
Verdict check_products(const CheckSetup& setup, Precision precision);
Verdict check_attention(const CheckSetup& setup);
Verdict check_golden(const CheckSetup& setup);
Verdict check_golden_in_bf16(const CheckSetup& setup);
Verdict check_same_bits(const CheckSetup& setup);
Verdict check_generation(const CheckSetup& setup);

/// Tokens a second of training steps, and the share of the device's own rate of products.
Verdict measure_products(const CheckSetup& setup, Precision precision);
Verdict measure_training(const CheckSetup& setup, int rows);

}  // namespace millrace::test
