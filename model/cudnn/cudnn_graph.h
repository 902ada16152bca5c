#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <cudnn.h>

namespace millrace {

/// What cuDNN refused, in its words.
struct CudnnError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A descriptor of cuDNN's backend API, shared by its copies. What is not accepted throws CudnnError.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);

  cudnnBackendDescriptor_t raw() const { return raw_.get(); }
  template <class Value>
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const Value& value) {
    return set_array(name, type, 1, &value);
  }
  template <class Value>
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       const std::vector<Value>& values) {
    return set_array(name, type, static_cast<std::int64_t>(values.size()), values.data());
  }
  CudnnDescriptor& set(cudnnBackendAttributeName_t name, const CudnnDescriptor& other) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, other.raw());
  }
  CudnnDescriptor& finalize();

 private:
  CudnnDescriptor& set_array(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                             const void* values);

  std::shared_ptr<void> raw_;
};

using Extents = std::vector<std::int64_t>;

/// A tensor of a graph: of memory, given by `id` when a plan is run; or between operations.
struct GraphTensor {
  CudnnDescriptor descriptor;
  Extents extent, stride;
  std::int64_t id;
};

/// Operations on tensors that cuDNN makes one kernel of, or a few. Numbers are computed in f32.
class CudnnGraph {
 public:
  GraphTensor memory(Extents extent, Extents stride, cudnnDataType_t type);
  GraphTensor between(Extents extent, Extents stride, cudnnDataType_t type = CUDNN_DATA_FLOAT);
  GraphTensor number(float value);

  void product(const GraphTensor& a, const GraphTensor& b, const GraphTensor& to);
  void pointwise(cudnnPointwiseMode_t mode, const GraphTensor& x, const GraphTensor* y, const GraphTensor* mask,
                 const GraphTensor& to, cudnnDataType_t computed_in = CUDNN_DATA_FLOAT, int axis = -1);
  /// The same into a tensor like x.
  GraphTensor pointwise(cudnnPointwiseMode_t mode, const GraphTensor& x, const GraphTensor* y = nullptr);
  /// Where x is on an axis, x's numbers themselves unimportant.
  GraphTensor index(const GraphTensor& x, int axis, cudnnDataType_t computed_in);
  /// Whether a >= b.
  GraphTensor at_least(const GraphTensor& a, const GraphTensor& b);
  /// x where `mask` is true, else `other`.
  GraphTensor select(const GraphTensor& x, const GraphTensor& other, const GraphTensor& mask);
  void reduce(cudnnReduceTensorOp_t how, const GraphTensor& x, const GraphTensor& to);
  void reshape(const GraphTensor& x, const GraphTensor& to);

  const std::vector<CudnnDescriptor>& operations() const { return operations_; }
  const std::vector<std::pair<std::int64_t, float>>& numbers() const { return numbers_; }

 private:
  enum class Kind : std::uint8_t { memory, between, number };
  GraphTensor tensor(Extents extent, Extents stride, cudnnDataType_t type, Kind kind);

  std::vector<CudnnDescriptor> operations_;
  std::vector<CudnnDescriptor> kept_;  ///< What operations refer to.
  std::vector<std::pair<std::int64_t, float>> numbers_;
  std::int64_t next_id_ = 1;
};

/// The properties of a card as cuDNN writes them, for asking it without one.
CudnnDescriptor device_properties(const std::string& json);

/// A card that plans are made for: that of a handle, or one that is only described, by device_properties().
using CudnnCard = std::variant<cudnnHandle_t, CudnnDescriptor>;

/// A graph compiled for a card.
class CudnnPlan {
 public:
  /// The first of the heuristics' proposals that compiles: the same for the same graph, card and library. Throws
  /// CudnnError, saying that there is no plan for `what`.
  CudnnPlan(const CudnnGraph& graph, const CudnnCard& card, const std::string& what);

  std::size_t workspace_bytes() const { return workspace_bytes_; }
  /// Gives the handle's stream the work. `memory`: where the graph's memory() tensors lie.
  void run(cudnnHandle_t handle, const std::vector<std::pair<std::int64_t, void*>>& memory, void* workspace) const;

 private:
  CudnnGraph graph_;
  CudnnDescriptor plan_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace millrace
