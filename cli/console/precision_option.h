#pragma once

#include <string>

#include "cli/console/command.h"

namespace millrace {

/// --precision of commands that compute with a checkpoint; `precision` is what precision_named (trainer/config) reads.
void add_precision_option(const Command& command, std::string& precision);

}  // namespace millrace
