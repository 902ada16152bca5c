#pragma once

#include <string>

namespace millrace {

/// Asks the NVIDIA driver's library, by its file name, whether there is a card that CUDA of this major version can use.
/// Returns why not, or nothing if there is one. It needs none of CUDA's own libraries, which take half a second to
/// open.
std::string fault_of_cuda_driver(const std::string& library, int cuda_major);

}  // namespace millrace
