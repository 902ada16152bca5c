#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace millrace {

inline constexpr std::uint64_t kMostThreads = 1024;
inline constexpr std::uint64_t kMostInt = std::numeric_limits<int>::max();
inline constexpr std::uint64_t kMostWhole = std::numeric_limits<std::uint64_t>::max();

/// A declared option, to set more of its properties. A view; the command owns it.
class CommandOption {
 public:
  CommandOption(CLI::App* command, CLI::Option* option) : command_(command), option_(option) {}

  CommandOption required(bool is_required = true) const;
  CommandOption description(const std::string& what) const;
  /// The placeholder for the value in --help.
  CommandOption type_name(const std::string& name) const;
  /// Environment variable that gives the value if the option is absent.
  CommandOption environment(const std::string& variable) const;
  /// May be given several times; all values are kept.
  CommandOption take_all() const;
  /// Options that must not be given together with it.
  CommandOption excludes(const std::vector<std::string>& others) const;

  // Ranges of valid values, both ends included. nan is never valid.
  CommandOption number_from(double least, double most) const;
  /// Checked as text before conversion, which would turn a negative or 65-bit number into another one.
  CommandOption whole_number_from(std::uint64_t least, std::uint64_t most) const;
  /// The same for counts, which may be written like 1e9.
  CommandOption count_from(std::uint64_t least, std::uint64_t most) const;
  CommandOption not_negative() const;
  CommandOption one_of(const std::vector<std::string>& values) const;

 private:
  CLI::App* command_;
  CLI::Option* option_;
};

/// A sub-command on the command line. Its options are declared here so that only one source is compiled with CLI11,
/// whose headers take the compiler ten seconds. A view; the program's CLI::App owns it.
class Command {
 public:
  Command(CLI::App& parent, const std::string& name, const std::string& description);

  /// An option ("--name"), or the next positional ("name"). The current content of `value` is the default. `value` must
  /// outlive parsing.
  template <class Value>
  CommandOption add_option(const std::string& name, Value& value, const std::string& what) const;
  void add_flag(const std::string& name, bool& value, const std::string& what) const;
  /// --threads; 0 means `otherwise`.
  void add_threads_option(int& threads, const std::string& what, const std::string& otherwise) const;
  /// An option declared before.
  CommandOption get_option(const std::string& name) const;

  /// The text below the options in --help.
  void footer(const std::string& text) const;
  /// What to run after parsing.
  void callback(std::function<void()> work) const;
  /// Requires one of the command's own sub-commands.
  void require_subcommand() const;
  CLI::App& app() const { return *command_; }

 private:
  CLI::App* command_;
};

// Storage for options' values.
extern template CommandOption Command::add_option(const std::string&, std::string&, const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, std::vector<std::string>&,
                                                  const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, int&, const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, double&, const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, std::uint64_t&, const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, std::optional<std::uint64_t>&,
                                                  const std::string&) const;

}  // namespace millrace
