#include "model/ops/gemm.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include <Eigen/Core>
#include <dnnl.h>

#include "model/ops/gemm_bf16.h"
#include "model/ops/product_cut.h"
#include "model/parallel.h"

namespace millrace {

namespace {

template <class Scalar>
struct Operand {
  View<const Scalar> view;
  Stored stored;
  Index rows() const { return stored == Stored::plain ? view.rows : view.columns; }
  Index columns() const { return stored == Stored::plain ? view.columns : view.rows; }
  Operand row_range(Index first, Index count) const {
    return {stored == Stored::plain ? view.row_range(first, count) : view.column_range(first, count), stored};
  }
  Operand column_range(Index first, Index count) const {
    return {stored == Stored::plain ? view.column_range(first, count) : view.row_range(first, count), stored};
  }
};

std::string shape(Index rows, Index columns) {
  return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
}

template <class Scalar, class Sum, class SerialProduct>
void parallel_product(const Operand<Scalar>& a, const Operand<Scalar>& b, View<Sum> c, Into into,
                      const SerialProduct& serial_product) {
  if (a.columns() != b.rows() || c.rows != a.rows() || c.columns != b.columns()) {
    throw std::logic_error("product of " + shape(a.rows(), a.columns()) + " and " + shape(b.rows(), b.columns()) +
                           " into " + shape(c.rows, c.columns));
  }
  const bool by_rows = c.rows >= c.columns;
  const Index side = by_rows ? c.rows : c.columns;
  const Index inner = a.columns();
  const ProductCut cut = cut_of(side, by_rows ? c.columns : c.rows, inner);
  for_long_ranges(side, cut.piece, [&](Index begin, Index end) {
    const Index count = end - begin;
    const Operand<Scalar> part_a = by_rows ? a.row_range(begin, count) : a;
    const Operand<Scalar> part_b = by_rows ? b : b.column_range(begin, count);
    const View<Sum> part_c = by_rows ? c.row_range(begin, count) : c.column_range(begin, count);
    Index done = 0;
    do {  // Once even where there is nothing to sum: c is zeros then.
      const Index terms = std::min(cut.inner, inner - done);
      serial_product(part_a.column_range(done, terms).view, part_a.stored, part_b.row_range(done, terms).view,
                     part_b.stored, part_c, done == 0 ? into : Into::add);
      done += terms;
    } while (done < inner && !stop_requested());
  });
}

}  // namespace

/// oneDNN runs on one thread here: either inside an active parallel region, or where OpenMP has one thread at all.
template <>
void serial_matmul<float>(View<const float> a, Stored a_stored, View<const float> b, Stored b_stored, View<float> c,
                          Into into) {
  if (c.rows == 0 || c.columns == 0) return;
  const Index inner = a_stored == Stored::plain ? a.columns : a.rows;
  const dnnl_status_t status =
      dnnl_sgemm(a_stored == Stored::plain ? 'N' : 'T', b_stored == Stored::plain ? 'N' : 'T', c.rows, c.columns, inner,
                 1.0F, a.data, a.stride, b.data, b.stride, into == Into::add ? 1.0F : 0.0F, c.data, c.stride);
  if (status != dnnl_success) std::terminate();  // Only wrong shapes fail, which the callers exclude.
}

template <>
void serial_matmul<double>(View<const double> a, Stored a_stored, View<const double> b, Stored b_stored, View<double> c,
                           Into into) {
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto map = [](View<const double> v) {
    return Eigen::Map<const RowMajor, 0, Eigen::OuterStride<>>(v.data, v.rows, v.columns,
                                                               Eigen::OuterStride<>(v.stride));
  };
  Eigen::Map<RowMajor, 0, Eigen::OuterStride<>> result(c.data, c.rows, c.columns, Eigen::OuterStride<>(c.stride));
  if (into == Into::overwrite) result.setZero();
  const bool plain_a = a_stored == Stored::plain;
  const bool plain_b = b_stored == Stored::plain;
  if (plain_a && plain_b) result.noalias() += map(a) * map(b);
  if (plain_a && !plain_b) result.noalias() += map(a) * map(b).transpose();
  if (!plain_a && plain_b) result.noalias() += map(a).transpose() * map(b);
  if (!plain_a && !plain_b) result.noalias() += map(a).transpose() * map(b).transpose();
}

namespace {

template <class Scalar>
void product(const Factor<Scalar>& a, Stored a_stored, const Factor<Scalar>& b, Stored b_stored, View<Scalar> c,
             Into into) {
  if constexpr (std::is_same_v<Scalar, float>) {
    if (a.image.data != nullptr && b.image.data != nullptr) {
      return parallel_product<Bf16>({a.image, a_stored}, {b.image, b_stored}, c, into, serial_bf16_product);
    }
  }
  parallel_product<Scalar>({a.full, a_stored}, {b.full, b_stored}, c, into, serial_matmul<Scalar>);
}

}  // namespace

template <class Scalar>
void matmul_nn(Factor<std::type_identity_t<Scalar>> a, Factor<std::type_identity_t<Scalar>> b, View<Scalar> c,
               Into into) {
  product<Scalar>(a, Stored::plain, b, Stored::plain, c, into);
}
template <class Scalar>
void matmul_nt(Factor<std::type_identity_t<Scalar>> a, Factor<std::type_identity_t<Scalar>> b, View<Scalar> c,
               Into into) {
  product<Scalar>(a, Stored::plain, b, Stored::transposed, c, into);
}
template <class Scalar>
void matmul_tn(Factor<std::type_identity_t<Scalar>> a, Factor<std::type_identity_t<Scalar>> b, View<Scalar> c,
               Into into) {
  product<Scalar>(a, Stored::transposed, b, Stored::plain, c, into);
}

template void matmul_nn<float>(Factor<float>, Factor<float>, View<float>, Into);
template void matmul_nn<double>(Factor<double>, Factor<double>, View<double>, Into);
template void matmul_nt<float>(Factor<float>, Factor<float>, View<float>, Into);
template void matmul_nt<double>(Factor<double>, Factor<double>, View<double>, Into);
template void matmul_tn<float>(Factor<float>, Factor<float>, View<float>, Into);
template void matmul_tn<double>(Factor<double>, Factor<double>, View<double>, Into);

}  // namespace millrace
