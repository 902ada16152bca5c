#include "model/cudnn/cudnn_attention.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/kernels/attention.h"

namespace millrace {
namespace {

using Memory = std::vector<std::pair<std::int64_t, void*>>;

/// Fewer positions are not worth a plan, which takes half a second: the beginning of a text that is generated.
constexpr std::int64_t kLeastLength = 16;

void demand(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw CudnnError(std::string("cuDNN does not ") + what + ": " + cudnnGetErrorString(status));
}

}  // namespace

CudnnAttention::CudnnAttention(Device& device, cudaStream_t stream, bool deterministic)
    : device_(device),
      deterministic_(deterministic),
      workspace_(device),
      first_key_(device),
      along_(device),
      dq_sums_(device),
      by_kernels_(device) {
  cudnnHandle_t handle = nullptr;
  demand(cudnnCreate(&handle), "begin");
  handle_.reset(handle);
  demand(cudnnSetStream(handle, stream), "take the stream");
}

bool CudnnAttention::is_for_cudnn(const AttentionForm& form, Index start) const {
  return device_.low() == Type::bf16 && start == 0 && form.length >= kLeastLength && millrace::is_for_cudnn(form);
}

/// first_key as cuDNN's graphs want it: softmax over nothing is not a number.
void* CudnnAttention::seen(const AttentionCall& call) {
  const Tensor to = first_key_.shaped(1, call.q.rows, Type::i32);
  device_.run(SeeItself{static_cast<const std::int32_t*>(call.first_key.data), static_cast<std::int32_t*>(to.data),
                        call.q.rows / call.rows},
              call.rows);
  return to.data;
}

void* CudnnAttention::workspace(const CudnnPlan& plan) {
  return workspace_.shaped(1, static_cast<Index>(plan.workspace_bytes()), Type::u8).data;
}

void CudnnAttention::attend(const AttentionCall& call) {
  const AttentionForm form = form_of(call);
  if (!is_for_cudnn(form, call.start)) return by_kernels_.attend(call);
  auto found = forward_.find(form);
  if (found == forward_.end()) {
    AttentionGraph graph = attention_forward(form);
    CudnnPlan plan(graph.graph, handle_.get(), "attention of " + text_of(form));
    found = forward_.emplace(form, Compiled{std::move(graph), std::move(plan)}).first;
  }
  const auto& [graph, plan] = found->second;
  Memory memory{{graph.q, call.q.data},
                {graph.k, call.k.data},
                {graph.v, call.v.data},
                {graph.out, call.out.data},
                {graph.log_sum, call.log_sum.data}};
  if (!form.is_causal) memory.emplace_back(graph.first_key, seen(call));
  plan.run(handle_.get(), memory, workspace(plan));
}

void CudnnAttention::attend_backward(const AttentionGradient& call) {
  const AttentionForm form = form_of(call);
  const AttentionCall& forward = call.forward;
  if (!is_for_cudnn(form, forward.start)) return by_kernels_.attend_backward(call);
  auto found = backward_.find(form);
  if (found == backward_.end()) {
    AttentionGraph graph = attention_backward(form, deterministic_);
    CudnnPlan plan(graph.graph, handle_.get(), "the gradient of attention of " + text_of(form));
    found = backward_.emplace(form, Compiled{std::move(graph), std::move(plan)}).first;
  }
  const auto& [graph, plan] = found->second;
  Memory memory{{graph.q, forward.q.data},
                {graph.k, forward.k.data},
                {graph.v, forward.v.data},
                {graph.out, forward.out.data},
                {graph.log_sum, forward.log_sum.data},
                {graph.d_out, call.d_out.data},
                {graph.dq, call.dq.data},
                {graph.dk, call.dk.data},
                {graph.dv, call.dv.data},
                {graph.along, along_.shaped(forward.heads, forward.q.rows, Type::f32).data}};
  if (!form.is_causal) memory.emplace_back(graph.first_key, seen(forward));
  if (graph.dq_sums != 0) {
    const Tensor sums = dq_sums_.shaped(forward.q.rows, forward.q.columns, Type::f32);
    device_.clear(sums.data, static_cast<std::size_t>(sums.size()) * sizeof(float));
    memory.emplace_back(graph.dq_sums, sums.data);
  }
  plan.run(handle_.get(), memory, workspace(plan));
}

std::string CudnnAttention::fault_of_attend_backward(Index rows, Index length, Index heads, Index width) const {
  AttentionForm form = packed_form(rows, length, heads, width);
  if (!is_for_cudnn(form, 0)) return {};
  const std::string fault = fault_of_gradient(form, deterministic_, handle_.get());
  if (!fault.empty()) return fault;
  form.is_causal = true;
  return fault_of_gradient(form, deterministic_, handle_.get());
}

}  // namespace millrace
