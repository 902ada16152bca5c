#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/cudnn/cudnn_graph.h"
#include "model/device/attention_call.h"

namespace millrace {

/// Sizes and strides of attention without a cache, as a plan is made for them.
struct AttentionForm {
  std::int64_t rows = 0, heads = 0, length = 0, width = 0;  ///< B, heads, T, D
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0;    ///< Numbers from one position to the next.
  std::int64_t out_stride = 0;                              ///< Of out and d_out.
  std::int64_t d_out_stride = 0, dq_stride = 0, dk_stride = 0, dv_stride = 0;  ///< Of backward.
  bool is_causal = false;                                                      ///< Rows of one segment.

  auto operator<=>(const AttentionForm&) const = default;
};
AttentionForm form_of(const AttentionCall& call);
AttentionForm form_of(const AttentionGradient& call);
/// As the model has them: windows on one matrix of q | k | v, and on one of their gradients.
AttentionForm packed_form(std::int64_t rows, std::int64_t length, std::int64_t heads, std::int64_t width);
/// "16 rows of 2048, 12 heads of 64"
std::string text_of(const AttentionForm& form);

/// Whether cuDNN's graphs take such sizes: D a multiple of 8, at most 128; and strides, too, since it reads 16 bytes at
/// once.
bool is_for_cudnn(const AttentionForm& form);

/// A graph of attention, in bf16 with sums in f32, not scaled, causal and within segments: query i of a row sees keys
/// first_key[i] .. i, at least itself. Of rows of one segment it sees keys 0 .. i, and the graph has no first_key:
/// cuDNN has kernels for that alone, which skip the half that is not seen.
struct AttentionGraph {
  CudnnGraph graph;
  std::int64_t q, k, v, out, log_sum;  ///< Ids of memory.
  std::int64_t first_key = 0;          ///< 0: none.
  std::int64_t d_out = 0, dq = 0, dk = 0, dv = 0;
  std::int64_t along = 0;    ///< Backward's: (rows, heads, T) f32, for its own use.
  std::int64_t dq_sums = 0;  ///< (rows, T, heads, D) f32: sums by atomic additions, which begin at zero; 0: none.
};
AttentionGraph attention_forward(const AttentionForm& form);
/// `deterministic`: dq is added up in one product, with the same bits each time; else by atomic additions.
AttentionGraph attention_backward(const AttentionForm& form, bool deterministic);

/// Why there is no plan of attention's gradient for a card, and what to train with instead; empty: there is one.
std::string fault_of_gradient(const AttentionForm& form, bool deterministic, const CudnnCard& card);

}  // namespace millrace
