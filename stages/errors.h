#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace millrace {

/// The user asked for something impossible: wrong option, bad configuration file, missing shard. Exit code 2. The
/// message says where (file:line:column when known), what was found, what was expected, and what to do.
struct ConfigError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The data cannot be used any further: too many rejects, a corpus without a single document. Exit code 1.
struct DataError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The user stopped the program; everything that must be saved has been saved. Exit code 130.
struct Interrupted : std::exception {
  const char* what() const noexcept override { return "interrupted"; }
};

// Failures of the system (disk full, permission) are std::system_error with the path; our own bugs are
// std::logic_error.

}  // namespace millrace
