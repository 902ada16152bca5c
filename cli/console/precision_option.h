#pragma once

#include <string>

#include "cli/console/command.h"

namespace millrace {

/// --precision of commands that compute with a checkpoint; `precision` is what precision_named (trainer/config) reads.
void add_precision_option(const Command& command, std::string& precision);

/// --device of the same: what open_device (trainer/backend) reads.
void add_device_option(const Command& command, std::string& device);

}  // namespace millrace
