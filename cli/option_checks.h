#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace millrace {

/// For options that take a number from 0 on. (CLI11's own check names the largest double there is when it refuses.)
inline CLI::Validator not_negative() {
  const auto why_not = [](std::string& given) -> std::string {
    double number = 0;
    const bool is_fine = CLI::detail::lexical_cast(given, number) && number >= 0;
    return is_fine ? "" : given + " is no number from 0 on";
  };
  return {why_not, "NONNEGATIVE"};
}

}  // namespace millrace
