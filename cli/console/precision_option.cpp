#include "cli/console/precision_option.h"

namespace millrace {

void add_precision_option(const Command& command, std::string& precision) {
  command
      .add_option("--precision", precision,
                  "What matrix products read; with bf16, BF16 weights are used where they lie in the file. auto: bf16 "
                  "where the processor has it")
      .one_of({"f32", "bf16", "auto"});
}

void add_device_option(const Command& command, std::string& device) {
  command
      .add_option("--device", device,
                  "What computes: the processor, an NVIDIA card, or auto: the card where there is one")
      .one_of({"cpu", "cuda", "auto"});
}

}  // namespace millrace
