#pragma once

#include <string>
#include <vector>

namespace millrace {

/// A key that two configurations say otherwise.
struct ConfigDifference {
  std::string key;   ///< Dotted, as --set takes it: "train.learning_rate", "phase.0.until".
  std::string then;  ///< As TOML writes it; empty where the key was missing.
  std::string now;   ///< Likewise.

  /// "train.learning_rate 0.001 -> 0.002"
  std::string text() const;
};

/// What two TOML texts say otherwise, in the order of the keys; each key begins with `prefix`. Tables of an array are
/// told apart by their names where all have one, and then the array itself is a key whose value is the names in order,
/// and nothing is said of the inside of a table that one of the two lacks; else by their number from 0. Throws
/// ConfigError if a text is no TOML.
std::vector<ConfigDifference> differences(const std::string& then, const std::string& now,
                                          const std::string& prefix = "");

}  // namespace millrace
