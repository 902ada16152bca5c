#include "model/cuda/cuda_error.h"

#include <stdexcept>

namespace millrace {

void demand(cudaError_t error, const std::string& what) {
  if (error == cudaSuccess) return;
  throw std::runtime_error("the card cannot " + what + ": CUDA's error " + std::to_string(static_cast<int>(error)) +
                           ", " + cudaGetErrorString(error));
}

void demand(cublasStatus_t status, const std::string& what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw std::runtime_error("the card cannot " + what + ": cuBLASLt's status " +
                           std::to_string(static_cast<int>(status)) + ", " + cublasLtGetStatusString(status));
}

}  // namespace millrace
