#pragma once

#include <string>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

namespace millrace {

/// Throw std::runtime_error, "the card cannot WHAT: ERROR", if something went wrong. What the card finds wrong in work
/// given to it before may show in any later call.
void demand(cudaError_t error, const std::string& what);
void demand(cublasStatus_t status, const std::string& what);

}  // namespace millrace
