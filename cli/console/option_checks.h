#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace millrace {

inline constexpr std::uint64_t kMostThreads = 1024;

/// For options that take a number, ends included.
inline CLI::Validator number_from(double least, double most) {
  const auto why_not = [least, most](std::string& given) -> std::string {
    double number = 0;
    const bool is_fine = CLI::detail::lexical_cast(given, number) && number >= least && number <= most;
    return is_fine ? "" : fmt::format("{} is no number from {:.15g} to {:.15g}", given, least, most);
  };
  return {why_not, fmt::format("[{:.15g} - {:.15g}]", least, most)};
}

/// The same for whole numbers, before they are converted: a minus sign or a 65th bit would make another number of them.
inline CLI::Validator whole_number_from(std::uint64_t least, std::uint64_t most) {
  const auto why_not = [least, most](std::string& given) -> std::string {
    std::uint64_t number = 0;
    const char* const end = given.data() + given.size();
    const std::from_chars_result read = std::from_chars(given.data(), end, number);
    const bool is_fine = read.ec == std::errc() && read.ptr == end && number >= least && number <= most;
    return is_fine ? "" : fmt::format("{} is no whole number from {} to {}", given, least, most);
  };
  return {why_not, fmt::format("[{} - {}]", least, most)};
}

/// The same for counts as people write them: also 1e9, which it replaces by its digits. Give it to transform().
inline CLI::Validator count_from(std::uint64_t least, std::uint64_t most) {
  CLI::Validator check = whole_number_from(least, most);
  const auto why_not = [check](std::string& given) {
    constexpr double kMostExact = 9007199254740992.0;  // 2^53: from here on doubles leave whole numbers out.
    double number = 0;
    const char* const end = given.data() + given.size();
    const std::from_chars_result read = std::from_chars(given.data(), end, number);
    std::string digits = given;
    if (read.ec == std::errc() && read.ptr == end && number >= 0 && number <= kMostExact &&
        number == std::floor(number) && given.find_first_not_of("0123456789") != std::string::npos)
      digits = fmt::format("{}", static_cast<std::uint64_t>(number));
    if (!check(digits).empty()) return check(given);
    given = digits;
    return std::string();
  };
  return {why_not, check.get_description()};
}

inline constexpr std::uint64_t kMostInt = std::numeric_limits<int>::max();
inline constexpr std::uint64_t kMostWhole = std::numeric_limits<std::uint64_t>::max();

/// For options that take a number from 0 on. (CLI11's own check names the largest double there is when it refuses.)
inline CLI::Validator not_negative() {
  const auto why_not = [](std::string& given) -> std::string {
    double number = 0;
    const bool is_fine = CLI::detail::lexical_cast(given, number) && number >= 0 && std::isfinite(number);
    return is_fine ? "" : given + " is no number from 0 on";
  };
  return {why_not, "NONNEGATIVE"};
}

/// --threads; 0 stands for `otherwise`.
inline void add_threads_option(CLI::App& command, int& threads, const std::string& what, const std::string& otherwise) {
  command.add_option("--threads", threads, fmt::format("{}; 0: {}", what, otherwise))
      ->check(whole_number_from(0, kMostThreads));
}

}  // namespace millrace
