#include "trainer/config/train_config.h"

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {

std::string resolved_precision(const std::string& precision, const std::string& device) {
  if (precision != "auto") return precision;
  return device == "cuda" || processor_has_bf16() ? "bf16" : "f32";
}

Precision precision_named(const std::string& precision, const std::string& where, const std::string& device) {
  const std::string resolved = resolved_precision(precision, device);
  if (resolved == "f32") return Precision::f32;
  if (resolved != "bf16")
    throw ConfigError(fmt::format("{} is \"{}\", expected \"auto\", \"bf16\" or \"f32\"", where, precision));
  if (device == "cpu" && !processor_has_bf16()) {
    throw ConfigError(fmt::format(
        "{} is \"bf16\", but this processor has neither AVX512-BF16 nor AMX; set \"f32\" or \"auto\"", where));
  }
  return Precision::bf16;
}

}  // namespace millrace
