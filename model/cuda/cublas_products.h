#pragma once

#include <map>
#include <memory>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "model/cuda/column_major.h"

namespace millrace {

/// Matrix products by cuBLASLt, with f32 sums. For each description of a product the library's first proposal is taken
/// and kept; nothing is timed, so the same products have the same bits on one kind of card.
class CublasProducts {
 public:
  /// Takes kWorkspaceBytes of the card's memory.
  explicit CublasProducts(cudaStream_t stream);
  ~CublasProducts();
  CublasProducts(const CublasProducts&) = delete;
  CublasProducts& operator=(const CublasProducts&) = delete;

  static constexpr std::size_t kWorkspaceBytes = 32 << 20;

  /// REQUIRES: check(product) is content, factors are f32 or bf16, and nothing is ragged.
  void multiply(const Product& product);

 private:
  struct Plan;
  const Plan& plan_of(const ColumnMajor& turned, const Product& product);
  void clear(const Tensor& c);

  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<ColumnMajor, std::unique_ptr<Plan>> plans_;
};

}  // namespace millrace
