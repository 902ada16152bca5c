#include "model/layers/self_attention.h"

#include "model/array.h"
#include "model/parallel.h"

namespace millrace {

namespace {

/// One head of one row: a window on an (N, A) matrix.
template <class Scalar>
View<Scalar> window(View<Scalar> all, Index row_of_batch, Index length, Index head, Index head_dim) {
  return all.row_range(row_of_batch * length, length).column_range(head * head_dim, head_dim);
}

/// One a thread, for all that it computes.
template <class Scalar>
HeadScratch<Scalar>& scratch_of_thread() {
  thread_local HeadScratch<Scalar> scratch;
  return scratch;
}

/// Calls work(row, head, scratch) for every head of every row, one thread each.
template <class Scalar, class Work>
void for_heads(int rows, int heads, const Work& work) {
  for_long_ranges(Index{rows} * heads, 1,
                  [&](Index task, Index) { work(task / heads, task % heads, scratch_of_thread<Scalar>()); });
}

}  // namespace

template <class Scalar>
Attention<Scalar>::Attention(const ModelConfig& config, Parameters<Scalar>& parameters, const std::string& prefix)
    : heads_(config.num_attention_heads),
      head_dim_(config.head_dim),
      q_(&parameters.named(prefix + "q_proj.weight")),
      k_(&parameters.named(prefix + "k_proj.weight")),
      v_(&parameters.named(prefix + "v_proj.weight")),
      o_(&parameters.named(prefix + "o_proj.weight")) {}

template <class Scalar>
Factor<Scalar> Attention<Scalar>::weight(const Parameter<Scalar>& parameter) const {
  return factor_of(parameter);
}
template <class Scalar>
View<Scalar> Attention<Scalar>::gradient(const Parameter<Scalar>& parameter) const {
  return {parameter.grad, parameter.spec.shape[0], parameter.spec.shape[1]};
}

template <class Scalar>
void Attention<Scalar>::project(Factor<Scalar> x, const std::int32_t* position, const Rope<Scalar>& rope,
                                View<Scalar> q, View<Scalar> k, View<Scalar> v) const {
  matmul_nt(x, weight(*q_), q);
  matmul_nt(x, weight(*k_), k);
  matmul_nt(x, weight(*v_), v);
  rope.turn(q, position);
  rope.turn(k, position);
}

template <class Scalar>
void Attention<Scalar>::attend(int rows, View<const Scalar> q, View<const Scalar> k, View<const Scalar> v,
                               const KeyRange& keys, View<Scalar> context, View<Scalar> log_sum) const {
  const Index queries = q.rows / rows;
  const Index seen = k.rows / rows;
  for_heads<Scalar>(rows, heads_, [&](Index row, Index head, HeadScratch<Scalar>& scratch) {
    head_forward<Scalar>(window(q, row, queries, head, head_dim_), window(k, row, seen, head, head_dim_),
                         window(v, row, seen, head, head_dim_), {keys.first_key + row * queries, keys.start}, scratch,
                         window(context, row, queries, head, head_dim_), log_sum.row(head) + row * queries);
  });
}

template <class Scalar>
void Attention<Scalar>::output(Factor<Scalar> context, View<Scalar> y) const {
  matmul_nt(context, weight(*o_), y);
}

template <class Scalar>
void Attention<Scalar>::forward(Factor<Scalar> x, const BatchLayout& layout, const Rope<Scalar>& rope, Saved& saved,
                                View<Scalar> y) const {
  const Index width = Index{heads_} * head_dim_;
  for (Matrix<Scalar>* matrix : {&saved.q, &saved.k, &saved.v, &saved.context}) matrix->reshape(x.full.rows, width);
  saved.log_sum.reshape(heads_, x.full.rows);
  project(x, layout.position.data(), rope, saved.q.view(), saved.k.view(), saved.v.view());
  attend(layout.rows, saved.q.view(), saved.k.view(), saved.v.view(), {layout.first_key.data(), 0},
         saved.context.view(), saved.log_sum.view());
  output(saved.context_image.of(saved.context.view(), o_->precision()), y);
}

template <class Scalar>
void Attention<Scalar>::backward(Factor<Scalar> dy, Factor<Scalar> x, const BatchLayout& layout,
                                 const Rope<Scalar>& rope, const Saved& saved, Scratch& scratch,
                                 View<Scalar> dx) const {
  const Index width = Index{heads_} * head_dim_;
  for (Matrix<Scalar>* matrix : {&scratch.dq, &scratch.dk, &scratch.dv, &scratch.d_context}) {
    matrix->reshape(x.full.rows, width);
  }
  matmul_tn(dy, saved.context_image.again(saved.context.view()), gradient(*o_), Into::add);
  matmul_nn(dy, weight(*o_), scratch.d_context.view());
  const Index length = layout.length;
  for_heads<Scalar>(layout.rows, heads_, [&](Index row, Index head, HeadScratch<Scalar>& head_scratch) {
    const auto read = [&](const Matrix<Scalar>& all) { return window(all.view(), row, length, head, head_dim_); };
    const auto write = [&](Matrix<Scalar>& all) { return window(all.view(), row, length, head, head_dim_); };
    const HeadGradient<Scalar> work{
        read(saved.q),       read(saved.k),           read(saved.v),
        read(saved.context), read(scratch.d_context), saved.log_sum.row(head) + row * length,
        write(scratch.dq),   write(scratch.dk),       write(scratch.dv)};
    for (Index t = 0; t < length; ++t) {
      array_of(work.dk.row(t), head_dim_).setZero();
      array_of(work.dv.row(t), head_dim_).setZero();
    }
    head_backward<Scalar>(work, {layout.first_key.data() + row * length, 0}, head_scratch);
  });
  rope.turn_back(scratch.dq.view(), layout.position.data());
  rope.turn_back(scratch.dk.view(), layout.position.data());
  const Factor<Scalar> dq = scratch.dq_image.of(scratch.dq.view(), q_->precision());
  const Factor<Scalar> dk = scratch.dk_image.of(scratch.dk.view(), k_->precision());
  const Factor<Scalar> dv = scratch.dv_image.of(scratch.dv.view(), v_->precision());
  matmul_tn(dq, x, gradient(*q_), Into::add);
  matmul_tn(dk, x, gradient(*k_), Into::add);
  matmul_tn(dv, x, gradient(*v_), Into::add);
  matmul_nn(dq, weight(*q_), dx);
  matmul_nn(dk, weight(*k_), dx, Into::add);
  matmul_nn(dv, weight(*v_), dx, Into::add);
}

template class Attention<float>;
template class Attention<double>;

}  // namespace millrace
