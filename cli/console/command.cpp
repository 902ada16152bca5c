#include "cli/console/command.h"

#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace millrace {
namespace {

/// Why the text is not a whole number from `least` to `most`; empty if it is.
std::string why_no_whole_number(const std::string& given, std::uint64_t least, std::uint64_t most) {
  std::uint64_t number = 0;
  const char* const end = given.data() + given.size();
  const std::from_chars_result read = std::from_chars(given.data(), end, number);
  const bool is_fine = read.ec == std::errc() && read.ptr == end && number >= least && number <= most;
  return is_fine ? "" : fmt::format("{} is no whole number from {} to {}", given, least, most);
}

/// The digits of a count that is written with a point or an exponent; other texts as they are.
std::string as_digits(const std::string& given) {
  constexpr double kMostExact = 9007199254740992.0;  // 2^53: above it doubles skip whole numbers.
  double number = 0;
  const char* const end = given.data() + given.size();
  const std::from_chars_result read = std::from_chars(given.data(), end, number);
  const bool is_count = read.ec == std::errc() && read.ptr == end && number >= 0 && number <= kMostExact &&
                        number == std::floor(number) && given.find_first_not_of("0123456789") != std::string::npos;
  return is_count ? fmt::format("{}", static_cast<std::uint64_t>(number)) : given;
}

std::string range_text(std::uint64_t least, std::uint64_t most) {
  return fmt::format("[{} - {}]", least, most);
}

}  // namespace

CommandOption CommandOption::required(bool is_required) const {
  option_->required(is_required);
  return *this;
}

CommandOption CommandOption::description(const std::string& what) const {
  option_->description(what);
  return *this;
}

CommandOption CommandOption::type_name(const std::string& name) const {
  option_->type_name(name);
  return *this;
}

CommandOption CommandOption::environment(const std::string& variable) const {
  option_->envname(variable);
  return *this;
}

CommandOption CommandOption::take_all() const {
  option_->take_all();
  return *this;
}

CommandOption CommandOption::excludes(const std::vector<std::string>& others) const {
  for (const std::string& other : others) option_->excludes(command_->get_option(other));
  return *this;
}

CommandOption CommandOption::number_from(double least, double most) const {
  const auto why_not = [least, most](const std::string& given) -> std::string {
    double number = 0;
    const bool is_fine = CLI::detail::lexical_cast(given, number) && number >= least && number <= most;
    return is_fine ? "" : fmt::format("{} is no number from {:.15g} to {:.15g}", given, least, most);
  };
  option_->check(why_not, fmt::format("[{:.15g} - {:.15g}]", least, most));
  return *this;
}

CommandOption CommandOption::whole_number_from(std::uint64_t least, std::uint64_t most) const {
  const auto why_not = [least, most](const std::string& given) { return why_no_whole_number(given, least, most); };
  option_->check(why_not, range_text(least, most));
  return *this;
}

CommandOption CommandOption::count_from(std::uint64_t least, std::uint64_t most) const {
  const auto replace = [least, most](std::string& given) -> std::string {
    const std::string digits = as_digits(given);
    if (!why_no_whole_number(digits, least, most).empty()) return why_no_whole_number(given, least, most);
    given = digits;
    return "";
  };
  option_->transform(CLI::Validator(replace, range_text(least, most)));
  return *this;
}

CommandOption CommandOption::not_negative() const {
  // CLI11's own check would print the largest double in its message.
  const auto why_not = [](const std::string& given) -> std::string {
    double number = 0;
    const bool is_fine = CLI::detail::lexical_cast(given, number) && number >= 0 && std::isfinite(number);
    return is_fine ? "" : given + " is no number from 0 on";
  };
  option_->check(why_not, "NONNEGATIVE");
  return *this;
}

CommandOption CommandOption::one_of(const std::vector<std::string>& values) const {
  option_->check(CLI::IsMember(values));
  return *this;
}

Command::Command(CLI::App& parent, const std::string& name, const std::string& description)
    : command_(parent.add_subcommand(name, description)) {}

template <class Value>
CommandOption Command::add_option(const std::string& name, Value& value, const std::string& what) const {
  return {command_, command_->add_option(name, value, what)};
}

template CommandOption Command::add_option(const std::string&, std::string&, const std::string&) const;
template CommandOption Command::add_option(const std::string&, std::vector<std::string>&, const std::string&) const;
template CommandOption Command::add_option(const std::string&, int&, const std::string&) const;
template CommandOption Command::add_option(const std::string&, double&, const std::string&) const;
template CommandOption Command::add_option(const std::string&, std::uint64_t&, const std::string&) const;
template CommandOption Command::add_option(const std::string&, std::optional<std::uint64_t>&, const std::string&) const;

void Command::add_flag(const std::string& name, bool& value, const std::string& what) const {
  command_->add_flag(name, value, what);
}

void Command::add_threads_option(int& threads, const std::string& what, const std::string& otherwise) const {
  add_option("--threads", threads, fmt::format("{}; 0: {}", what, otherwise)).whole_number_from(0, kMostThreads);
}

CommandOption Command::get_option(const std::string& name) const {
  return {command_, command_->get_option(name)};
}

void Command::footer(const std::string& text) const {
  command_->footer(text);
}

void Command::callback(std::function<void()> work) const {
  command_->callback(std::move(work));
}

void Command::require_subcommand() const {
  command_->require_subcommand(1);
}

}  // namespace millrace
