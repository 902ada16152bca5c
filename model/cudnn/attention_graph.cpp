#include "model/cudnn/attention_graph.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

namespace millrace {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

/// The tensors of one form: (rows, heads, ...).
class Parts {
 public:
  Parts(const AttentionForm& form, CudnnGraph& graph) : form_(form), graph_(graph) {}

  /// A window on a matrix of (rows * T, ...).
  GraphTensor window(std::int64_t stride) {
    return graph_.memory({form_.rows, form_.heads, form_.length, form_.width}, strides(stride), CUDNN_DATA_BFLOAT16);
  }
  GraphTensor transposed_window(std::int64_t stride) {
    const std::int64_t row = form_.length * stride;
    return graph_.memory({form_.rows, form_.heads, form_.width, form_.length}, {row, form_.width, 1, stride},
                         CUDNN_DATA_BFLOAT16);
  }
  /// A number a query: log_sum is (heads, rows * T).
  GraphTensor log_sum() {
    return graph_.memory(of_queries(), {form_.length, form_.rows * form_.length, 1, 1}, CUDNN_DATA_FLOAT);
  }
  /// None where rows are one segment.
  std::optional<GraphTensor> first_key() {
    if (form_.is_causal) return std::nullopt;
    return graph_.memory({form_.rows, 1, form_.length, 1}, {form_.length, form_.length, 1, 1}, CUDNN_DATA_INT32);
  }
  Extents of_queries() const { return {form_.rows, form_.heads, form_.length, 1}; }
  Extents query_strides() const { return {form_.heads * form_.length, form_.length, 1, 1}; }
  GraphTensor number_a_query() { return graph_.between(of_queries(), query_strides()); }
  GraphTensor number_a_pair() { return graph_.between(of_pairs(), pair_strides()); }
  GraphTensor rounded_pair() { return graph_.between(of_pairs(), pair_strides(), CUDNN_DATA_BFLOAT16); }
  /// Keys by queries.
  GraphTensor turned_pair() {
    const std::int64_t t = form_.length;
    return graph_.between(of_pairs(), {form_.heads * t * t, t * t, 1, t}, CUDNN_DATA_BFLOAT16);
  }
  /// transposed_window()'s tensor the other way round. Its strides are those of the memory that it stands for.
  GraphTensor turned_back(std::int64_t stride) {
    return graph_.between({form_.rows, form_.heads, form_.length, form_.width}, strides(stride), CUDNN_DATA_BFLOAT16);
  }
  GraphTensor number_each() {
    const std::int64_t t = form_.length;
    return graph_.between({form_.rows, form_.heads, t, form_.width},
                          {form_.heads * t * form_.width, t * form_.width, form_.heads * form_.width, 1});
  }

  /// The same in memory.
  GraphTensor sums_each() {
    const std::int64_t all = form_.heads * form_.width;
    return graph_.memory({form_.rows, form_.heads, form_.length, form_.width}, strides(all), CUDNN_DATA_FLOAT);
  }

  /// Scores outside of what a query sees become minus infinity.
  GraphTensor masked(const GraphTensor& scores, const std::optional<GraphTensor>& first) {
    const GraphTensor query = graph_.index(scores, 2, CUDNN_DATA_FLOAT);
    const GraphTensor key = graph_.index(scores, 3, CUDNN_DATA_FLOAT);
    const GraphTensor causal = graph_.select(scores, graph_.number(kNever), graph_.at_least(query, key));
    if (!first) return causal;
    const GraphTensor again = graph_.index(causal, 3, CUDNN_DATA_INT32);
    return graph_.select(causal, graph_.number(kNever), graph_.at_least(again, *first));
  }

 private:
  Extents strides(std::int64_t stride) const { return {form_.length * stride, form_.width, stride, 1}; }
  Extents of_pairs() const { return {form_.rows, form_.heads, form_.length, form_.length}; }
  Extents pair_strides() const {
    const std::int64_t t = form_.length;
    return {form_.heads * t * t, t * t, t, 1};
  }

  const AttentionForm& form_;
  CudnnGraph& graph_;
};

}  // namespace

AttentionForm form_of(const AttentionCall& call) {
  AttentionForm form;
  form.rows = call.rows;
  form.heads = call.heads;
  form.length = call.q.rows / call.rows;
  form.width = call.q.columns / call.heads;
  form.q_stride = call.q.stride;
  form.k_stride = call.k.stride;
  form.v_stride = call.v.stride;
  form.out_stride = call.out.stride;
  form.is_causal = call.is_causal;
  return form;
}

AttentionForm form_of(const AttentionGradient& call) {
  AttentionForm form = form_of(call.forward);
  form.d_out_stride = call.d_out.stride;
  form.dq_stride = call.dq.stride;
  form.dk_stride = call.dk.stride;
  form.dv_stride = call.dv.stride;
  return form;
}

AttentionForm packed_form(std::int64_t rows, std::int64_t length, std::int64_t heads, std::int64_t width) {
  const std::int64_t all = heads * width;
  return {rows, heads, length, width, 3 * all, 3 * all, 3 * all, all, all, 3 * all, 3 * all, 3 * all};
}

std::string text_of(const AttentionForm& form) {
  return std::to_string(form.rows) + " rows of " + std::to_string(form.length) + ", " + std::to_string(form.heads) +
         " heads of " + std::to_string(form.width);
}

bool is_for_cudnn(const AttentionForm& form) {
  constexpr std::int64_t kMultiple = 8;
  constexpr std::int64_t kMost = 128;
  const auto is_aligned = [](std::int64_t stride) { return stride % kMultiple == 0; };
  return is_aligned(form.width) && form.width <= kMost &&
         std::ranges::all_of(std::array{form.q_stride, form.k_stride, form.v_stride, form.out_stride, form.d_out_stride,
                                        form.dq_stride, form.dk_stride, form.dv_stride},
                             is_aligned);
}

AttentionGraph attention_forward(const AttentionForm& form) {
  AttentionGraph made;
  CudnnGraph& graph = made.graph;
  Parts parts(form, graph);
  const GraphTensor q = parts.window(form.q_stride);
  const GraphTensor k = parts.transposed_window(form.k_stride);
  const GraphTensor v = parts.window(form.v_stride);
  const GraphTensor out = parts.window(form.out_stride);
  const std::optional<GraphTensor> first = parts.first_key();
  const GraphTensor log_sum = parts.log_sum();
  const GraphTensor scores = parts.number_a_pair();
  graph.product(q, k, scores);
  const GraphTensor seen = parts.masked(scores, first);
  const GraphTensor largest = parts.number_a_query();
  graph.reduce(CUDNN_REDUCE_TENSOR_MAX, seen, largest);
  const GraphTensor less = graph.pointwise(CUDNN_POINTWISE_SUB, seen, &largest);
  const GraphTensor weight = graph.pointwise(CUDNN_POINTWISE_EXP, less);
  const GraphTensor sum = parts.number_a_query();
  graph.reduce(CUDNN_REDUCE_TENSOR_ADD, weight, sum);
  const GraphTensor log = graph.pointwise(CUDNN_POINTWISE_LOG, sum);
  graph.pointwise(CUDNN_POINTWISE_ADD, largest, &log, nullptr, log_sum);
  const GraphTensor share = parts.rounded_pair();
  graph.pointwise(CUDNN_POINTWISE_DIV, weight, &sum, nullptr, share);
  graph.product(share, v, out);
  made.q = q.id;
  made.k = k.id;
  made.v = v.id;
  made.out = out.id;
  made.log_sum = log_sum.id;
  if (first) made.first_key = first->id;
  return made;
}

AttentionGraph attention_backward(const AttentionForm& form, bool deterministic) {
  AttentionGraph made;
  CudnnGraph& graph = made.graph;
  Parts parts(form, graph);
  const GraphTensor q = parts.window(form.q_stride);
  const GraphTensor k = parts.transposed_window(form.k_stride);
  const GraphTensor v = parts.transposed_window(form.v_stride);
  const GraphTensor out = parts.window(form.out_stride);
  const GraphTensor d_out = parts.window(form.d_out_stride);
  const GraphTensor dq = parts.window(form.dq_stride);
  const GraphTensor dk = parts.window(form.dk_stride);
  const GraphTensor dv = parts.window(form.dv_stride);
  const std::optional<GraphTensor> first = parts.first_key();
  const GraphTensor log_sum = parts.log_sum();
  // The sum over d of d_out out, of each query.
  const GraphTensor along_each = parts.number_each();
  graph.pointwise(CUDNN_POINTWISE_MUL, d_out, &out, nullptr, along_each);
  const GraphTensor along_sum = parts.number_a_query();
  graph.reduce(CUDNN_REDUCE_TENSOR_ADD, along_each, along_sum);
  const GraphTensor along = graph.memory(parts.of_queries(), parts.query_strides(), CUDNN_DATA_FLOAT);
  const GraphTensor one = graph.number(1);
  graph.pointwise(CUDNN_POINTWISE_MUL, along_sum, &one, nullptr, along);
  // Weights again.
  const GraphTensor scores = parts.number_a_pair();
  graph.product(q, k, scores);
  const GraphTensor less = graph.pointwise(CUDNN_POINTWISE_SUB, scores, &log_sum);
  const GraphTensor weight = graph.pointwise(CUDNN_POINTWISE_EXP, parts.masked(less, first));
  const GraphTensor weight_by_key = parts.turned_pair();
  graph.reshape(weight, weight_by_key);
  graph.product(weight_by_key, d_out, dv);
  // Gradients of scores.
  const GraphTensor d_weight = parts.number_a_pair();
  graph.product(d_out, v, d_weight);
  const GraphTensor beyond = graph.pointwise(CUDNN_POINTWISE_SUB, d_weight, &along);
  const GraphTensor d_scores = graph.pointwise(CUDNN_POINTWISE_MUL, beyond, &weight);
  const GraphTensor d_scores_by_key = parts.turned_pair();
  graph.reshape(d_scores, d_scores_by_key);
  graph.product(d_scores_by_key, q, dk);
  const GraphTensor keys = parts.turned_back(form.k_stride);
  graph.reshape(k, keys);
  if (deterministic) {
    graph.product(d_scores, keys, dq);
  } else {
    const GraphTensor sums = parts.sums_each();
    graph.product(d_scores, keys, sums);
    graph.pointwise(CUDNN_POINTWISE_IDENTITY, sums, nullptr, nullptr, dq);
    made.dq_sums = sums.id;
  }
  made.q = q.id;
  made.k = k.id;
  made.v = v.id;
  made.out = out.id;
  made.log_sum = log_sum.id;
  if (first) made.first_key = first->id;
  made.d_out = d_out.id;
  made.dq = dq.id;
  made.dk = dk.id;
  made.dv = dv.id;
  made.along = along.id;
  return made;
}

namespace {

/// Why there is no plan; empty: there is one.
std::string refusal(const AttentionForm& form, bool deterministic, const CudnnCard& card) {
  try {
    const CudnnPlan plan(attention_backward(form, deterministic).graph, card,
                         "the gradient of attention of " + text_of(form) +
                             (deterministic ? ", with the same bits each time," : ", added up in any order,"));
    return {};
  } catch (const CudnnError& error) {
    return error.what();
  }
}

}  // namespace

std::string fault_of_gradient(const AttentionForm& form, bool deterministic, const CudnnCard& card) {
  std::string fault = refusal(form, deterministic, card);
  if (fault.empty()) return fault;
  if (refusal(form, !deterministic, card).empty())
    fault += std::string("; there is one with train.deterministic = ") + (deterministic ? "false" : "true");
  return fault +
         "; train.precision = \"f32\" takes kernels of our own, which are slow. Evaluating and generating need "
         "no gradient";
}

}  // namespace millrace
