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

/// An option that was declared, to say more of it. A view; the command owns it.
class CommandOption {
 public:
  CommandOption(CLI::App* command, CLI::Option* option) : command_(command), option_(option) {}

  CommandOption required(bool is_required = true) const;
  CommandOption description(const std::string& what) const;
  /// What stands for the value in --help.
  CommandOption type_name(const std::string& name) const;
  /// The value if the option is not given and this environment variable is.
  CommandOption environment(const std::string& variable) const;
  /// Given several times, all values count.
  CommandOption take_all() const;
  /// None of these may be given beside it.
  CommandOption excludes(const std::vector<std::string>& others) const;

  // What values are taken, ends included. nan is never one.
  CommandOption number_from(double least, double most) const;
  /// Looked at before it is converted: a minus sign or a 65th bit would make another number of it.
  CommandOption whole_number_from(std::uint64_t least, std::uint64_t most) const;
  /// The same for counts as people write them: also 1e9.
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

  /// An option ("--name"), or the next positional ("name"). The value's present content is the default. `value` must
  /// outlive parsing.
  template <class Value>
  CommandOption add_option(const std::string& name, Value& value, const std::string& what) const;
  void add_flag(const std::string& name, bool& value, const std::string& what) const;
  /// --threads; 0 stands for `otherwise`.
  void add_threads_option(int& threads, const std::string& what, const std::string& otherwise) const;
  /// One that was declared before.
  CommandOption get_option(const std::string& name) const;

  /// What stands below the options in --help.
  void footer(const std::string& text) const;
  /// What is done once all is parsed.
  void callback(std::function<void()> work) const;
  /// It is a command with commands of its own, of which one must be given.
  void require_subcommand() const;
  CLI::App& app() const { return *command_; }

 private:
  CLI::App* command_;
};

// Values that options have.
extern template CommandOption Command::add_option(const std::string&, std::string&, const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, std::vector<std::string>&,
                                                  const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, int&, const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, double&, const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, std::uint64_t&, const std::string&) const;
extern template CommandOption Command::add_option(const std::string&, std::optional<std::uint64_t>&,
                                                  const std::string&) const;

}  // namespace millrace
