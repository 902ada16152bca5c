#include "model/cudnn/cudnn_graph.h"

#include <array>

#include "model/cudnn/nvrtc.h"

namespace millrace {
namespace {

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> text{};
  cudnnGetLastErrorString(text.data(), text.size());
  throw CudnnError(std::string("cuDNN: ") + what + ": " + cudnnGetErrorString(status) + ": " + text.data());
}

/// What a descriptor's attribute lists.
std::vector<CudnnDescriptor> listed(const CudnnDescriptor& of, cudnnBackendAttributeName_t name,
                                    cudnnBackendDescriptorType_t type) {
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(of.raw(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr), "count");
  std::vector<CudnnDescriptor> all;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::int64_t i = 0; i < count; ++i) raw.push_back(all.emplace_back(type).raw());
  std::int64_t got = 0;
  if (count > 0)
    check(cudnnBackendGetAttribute(of.raw(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &got, raw.data()), "list");
  all.erase(all.begin() + got, all.end());
  return all;
}

}  // namespace

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t raw = nullptr;
  check(cudnnBackendCreateDescriptor(type, &raw), "create");
  raw_.reset(raw, [](void* descriptor) { cudnnBackendDestroyDescriptor(descriptor); });
}

CudnnDescriptor& CudnnDescriptor::set_array(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                            std::int64_t count, const void* values) {
  check(cudnnBackendSetAttribute(raw(), name, type, count, values),
        ("attribute " + std::to_string(static_cast<int>(name))).c_str());
  return *this;
}

CudnnDescriptor& CudnnDescriptor::finalize() {
  check(cudnnBackendFinalize(raw()), "finalize");
  return *this;
}

GraphTensor CudnnGraph::tensor(Extents extent, Extents stride, cudnnDataType_t type, Kind kind) {
  constexpr std::int64_t kAlignment = 16;
  GraphTensor made{CudnnDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR), std::move(extent), std::move(stride), next_id_++};
  made.descriptor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, made.extent)
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, made.stride)
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, made.id)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment);
  if (kind == Kind::between) made.descriptor.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, true);
  if (kind == Kind::number) made.descriptor.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, true);
  made.descriptor.finalize();
  kept_.push_back(made.descriptor);
  return made;
}

GraphTensor CudnnGraph::memory(Extents extent, Extents stride, cudnnDataType_t type) {
  return tensor(std::move(extent), std::move(stride), type, Kind::memory);
}

GraphTensor CudnnGraph::between(Extents extent, Extents stride, cudnnDataType_t type) {
  return tensor(std::move(extent), std::move(stride), type, Kind::between);
}

GraphTensor CudnnGraph::number(float value) {
  GraphTensor made = tensor({1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, Kind::number);
  numbers_.emplace_back(made.id, value);
  return made;
}

void CudnnGraph::product(const GraphTensor& a, const GraphTensor& b, const GraphTensor& to) {
  CudnnDescriptor how(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  how.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT).finalize();
  kept_.push_back(how);
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a.descriptor)
      .set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b.descriptor)
      .set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, to.descriptor)
      .set(CUDNN_ATTR_OPERATION_MATMUL_DESC, how)
      .finalize();
  operations_.push_back(operation);
}

void CudnnGraph::pointwise(cudnnPointwiseMode_t mode, const GraphTensor& x, const GraphTensor* y,
                           const GraphTensor* mask, const GraphTensor& to, cudnnDataType_t computed_in, int axis) {
  CudnnDescriptor how(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  how.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, computed_in);
  if (axis >= 0) how.set(CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, std::int64_t{axis});
  how.finalize();
  kept_.push_back(how);
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x.descriptor)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to.descriptor)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_TYPE_FLOAT, 1.0F)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, CUDNN_TYPE_FLOAT, 1.0F);
  if (y != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, y->descriptor);
  if (mask != nullptr) operation.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, mask->descriptor);
  operation.finalize();
  operations_.push_back(operation);
}

GraphTensor CudnnGraph::pointwise(cudnnPointwiseMode_t mode, const GraphTensor& x, const GraphTensor* y) {
  GraphTensor to = between(x.extent, x.stride);
  pointwise(mode, x, y, nullptr, to);
  return to;
}

GraphTensor CudnnGraph::index(const GraphTensor& x, int axis, cudnnDataType_t computed_in) {
  GraphTensor to = between(x.extent, x.stride, CUDNN_DATA_INT32);
  pointwise(CUDNN_POINTWISE_GEN_INDEX, x, nullptr, nullptr, to, computed_in, axis);
  return to;
}

GraphTensor CudnnGraph::at_least(const GraphTensor& a, const GraphTensor& b) {
  GraphTensor to = between(a.extent, a.stride, CUDNN_DATA_BOOLEAN);
  pointwise(CUDNN_POINTWISE_CMP_GE, a, &b, nullptr, to, CUDNN_DATA_BOOLEAN);
  return to;
}

GraphTensor CudnnGraph::select(const GraphTensor& x, const GraphTensor& other, const GraphTensor& mask) {
  GraphTensor to = between(x.extent, x.stride);
  pointwise(CUDNN_POINTWISE_BINARY_SELECT, x, &other, &mask, to);
  return to;
}

void CudnnGraph::reduce(cudnnReduceTensorOp_t how, const GraphTensor& x, const GraphTensor& to) {
  CudnnDescriptor reduction(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  reduction.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, how)
      .set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .finalize();
  kept_.push_back(reduction);
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x.descriptor)
      .set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, to.descriptor)
      .set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, reduction)
      .finalize();
  operations_.push_back(operation);
}

void CudnnGraph::reshape(const GraphTensor& x, const GraphTensor& to) {
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  operation.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x.descriptor)
      .set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, to.descriptor)
      .finalize();
  operations_.push_back(operation);
}

CudnnDescriptor device_properties(const std::string& json) {
  CudnnDescriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                 std::vector<char>(json.begin(), json.end()));
  return properties.finalize();
}

CudnnPlan::CudnnPlan(const CudnnGraph& graph, const CudnnCard& card, const std::string& what)
    : graph_(graph), plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  const auto* handle = std::get_if<cudnnHandle_t>(&card);
  const auto* device = std::get_if<CudnnDescriptor>(&card);
  open_nvrtc_parts();
  CudnnDescriptor operations(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  std::vector<cudnnBackendDescriptor_t> raw;
  for (const CudnnDescriptor& operation : graph.operations()) raw.push_back(operation.raw());
  operations.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, raw);
  if (handle != nullptr) operations.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, *handle);
  operations.finalize();
  CudnnDescriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, operations)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A);
  if (device != nullptr) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
  heuristics.finalize();
  std::string refusals;
  for (const CudnnDescriptor& proposal :
       listed(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)) {
    try {
      CudnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposal);
      if (handle != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, *handle);
      if (device != nullptr) plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device);
      plan_ = plan.finalize();
      std::int64_t count = 0;
      std::int64_t bytes = 0;
      check(cudnnBackendGetAttribute(plan_.raw(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count,
                                     &bytes),
            "workspace");
      workspace_bytes_ = static_cast<std::size_t>(bytes);
      return;
    } catch (const CudnnError& error) {
      refusals += std::string("; ") + error.what();
    }
  }
  throw CudnnError("cuDNN has no plan for " + what + " on this card" + refusals);
}

void CudnnPlan::run(cudnnHandle_t handle, const std::vector<std::pair<std::int64_t, void*>>& memory,
                    void* workspace) const {
  std::vector<std::int64_t> ids;
  std::vector<void*> pointers;
  for (const auto& [id, pointer] : memory) {
    ids.push_back(id);
    pointers.push_back(pointer);
  }
  std::vector<std::pair<std::int64_t, float>> numbers = graph_.numbers();  // Read before execute returns.
  for (auto& [id, number] : numbers) {
    ids.push_back(id);
    pointers.push_back(&number);
  }
  CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace)
      .finalize();
  check(cudnnBackendExecute(handle, plan_.raw(), pack.raw()), "run");
}

}  // namespace millrace
