#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "model/cuda/cudnn_graph.h"
#include "model/device/attention_call.h"

namespace millrace {

/// Sizes and strides of attention without a cache, as a plan is made for them.
struct AttentionForm {
  std::int64_t rows = 0, heads = 0, length = 0, width = 0;  ///< B, heads, T, D
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0;    ///< Numbers from one position to the next.
  std::int64_t out_stride = 0;                              ///< Of out and d_out.
  std::int64_t d_out_stride = 0, dq_stride = 0, dk_stride = 0, dv_stride = 0;  ///< Of backward.

  auto operator<=>(const AttentionForm&) const = default;
};
AttentionForm form_of(const AttentionCall& call);
AttentionForm form_of(const AttentionGradient& call);

/// Whether cuDNN's graphs take such sizes: D a multiple of 8, at most 128.
bool is_for_cudnn(const AttentionForm& form);

/// A graph of attention, in bf16 with sums in f32, not scaled, causal and within segments: query i of a row sees keys
/// first_key[i] .. i, at least itself.
struct AttentionGraph {
  CudnnGraph graph;
  std::int64_t q, k, v, out, log_sum, first_key;  ///< Ids of memory.
  std::int64_t d_out = 0, dq = 0, dk = 0, dv = 0;
  std::int64_t along = 0;  ///< Backward's: (rows, heads, T) f32, for its own use.
};
AttentionGraph attention_forward(const AttentionForm& form);
/// The form in which cuDNN adds dq up in one product, not by atomic additions: same bits each time.
AttentionGraph attention_backward(const AttentionForm& form);

}  // namespace millrace
