#include "trainer/config/train_config.h"

namespace millrace {

/// In place of the program's, which opens a card to see whether there is one.
std::string resolved_device(const std::string& device) {
  return device == "auto" ? "cpu" : device;
}

}  // namespace millrace
