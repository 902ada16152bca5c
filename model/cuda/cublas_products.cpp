#include "model/cuda/cublas_products.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include "model/cuda/cuda_error.h"

namespace millrace {
namespace {

cudaDataType_t type_of(Type type) {
  return type == Type::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

/// One of the library's descriptions, destroyed with it.
template <class Handle, cublasStatus_t (*kDestroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle_ != nullptr) kDestroy(handle_);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Handle* to_fill() { return &handle_; }
  Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

void describe(Layout& layout, Type type, Index rows, Index columns, Index batch, const ColumnMajor::Factor& factor) {
  demand(cublasLtMatrixLayoutCreate(layout.to_fill(), type_of(type), static_cast<std::uint64_t>(rows),
                                    static_cast<std::uint64_t>(columns), factor.stride),
         "describe a matrix");
  const auto count = static_cast<std::int32_t>(batch);
  const std::int64_t step = factor.batch_stride;
  demand(cublasLtMatrixLayoutSetAttribute(layout.get(), CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
         "describe a batch");
  demand(
      cublasLtMatrixLayoutSetAttribute(layout.get(), CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step),
      "describe a batch");
}

}  // namespace

/// How a product is computed.
struct CublasProducts::Plan {
  Description description;
  Layout a, b, c;
  cublasLtMatmulAlgo_t algorithm{};
};

CublasProducts::CublasProducts(cudaStream_t stream) : stream_(stream) {
  demand(cublasLtCreate(&handle_), "multiply");
  const cudaError_t error = cudaMalloc(&workspace_, kWorkspaceBytes);
  if (error != cudaSuccess) cublasLtDestroy(handle_);
  demand(error, "spare the memory in which products are prepared");
}

CublasProducts::~CublasProducts() {
  plans_.clear();
  cudaFree(workspace_);
  cublasLtDestroy(handle_);
}

void CublasProducts::multiply(const Product& product) {
  if (product.c.size() == 0) return;
  const ColumnMajor turned = column_major(product);
  if (turned.k == 0 && product.added == nullptr) {
    if (!product.add) clear(product.c);
    return;
  }
  const Plan& plan = plan_of(turned, product);
  const float one = 1;
  const float kept = product.add ? 1 : 0;
  demand(cublasLtMatmul(handle_, plan.description.get(), &one, product.b.data, plan.a.get(), product.a.data,
                        plan.b.get(), &kept, product.add ? added_to(product) : product.c.data, plan.c.get(),
                        product.c.data, plan.c.get(), &plan.algorithm, workspace_, kWorkspaceBytes, stream_),
         "multiply " + shape_of(product));
}

const CublasProducts::Plan& CublasProducts::plan_of(const ColumnMajor& turned, const Product& product) {
  const auto found = plans_.find(turned);
  if (found != plans_.end()) return *found->second;
  auto plan = std::make_unique<Plan>();
  demand(cublasLtMatmulDescCreate(plan->description.to_fill(), CUBLAS_COMPUTE_32F, CUDA_R_32F), "describe a product");
  const auto turn = [&](cublasLtMatmulDescAttributes_t side, bool transposed) {
    const cublasOperation_t operation = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    demand(cublasLtMatmulDescSetAttribute(plan->description.get(), side, &operation, sizeof operation),
           "describe a product");
  };
  turn(CUBLASLT_MATMUL_DESC_TRANSA, turned.a.transposed);
  turn(CUBLASLT_MATMUL_DESC_TRANSB, turned.b.transposed);
  describe(plan->a, turned.factors, turned.a_rows(), turned.a_columns(), turned.batch, turned.a);
  describe(plan->b, turned.factors, turned.b_rows(), turned.b_columns(), turned.batch, turned.b);
  describe(plan->c, turned.result, turned.m, turned.n, turned.batch, turned.c);

  Preference preference;
  demand(cublasLtMatmulPreferenceCreate(preference.to_fill()), "describe a product");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
    demand(cublasLtMatmulPreferenceSetAttribute(preference.get(), what, &value, sizeof value), "describe a product");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(turned.a.alignment));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(turned.b.alignment));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(turned.added_alignment));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(turned.c.alignment));
  cublasLtMatmulHeuristicResult_t proposal{};
  int proposals = 0;
  demand(cublasLtMatmulAlgoGetHeuristic(handle_, plan->description.get(), plan->a.get(), plan->b.get(), plan->c.get(),
                                        plan->c.get(), preference.get(), 1, &proposal, &proposals),
         "multiply " + shape_of(product));
  if (proposals == 0) throw std::runtime_error("cuBLASLt knows no way to multiply " + shape_of(product));
  plan->algorithm = proposal.algo;
  return *plans_.emplace(turned, std::move(plan)).first->second;
}

/// A sum of no terms.
void CublasProducts::clear(const Tensor& c) {
  const std::size_t bytes = bytes_of(c.type);
  for (Index i = 0; i < c.batch; ++i) {
    const Tensor one = c.entry(i);
    demand(
        cudaMemset2DAsync(one.data, static_cast<std::size_t>(std::max(one.stride, one.columns)) * bytes, 0,
                          static_cast<std::size_t>(one.columns) * bytes, static_cast<std::size_t>(one.rows), stream_),
        "clear memory");
  }
}

}  // namespace millrace
