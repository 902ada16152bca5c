#include "model/cpu/cpu_products.h"

#include <algorithm>

#include "model/lanes/numbers.h"
#include "model/parallel.h"

namespace millrace {
namespace {

/// Numbers of a result that a thread adds up or writes at a time.
constexpr Index kNumbers = Index{1} << 14;

Type sum_type(const Product& product) {
  return product.a.type == Type::f64 ? Type::f64 : Type::f32;
}

template <class To, class From>
void copy_row(const From* from, To* to, Index count) {
  for (Index j = 0; j < count; ++j) to[j] = stored_as<To>(from[j]);
}

void zero(const Tensor& c) {
  for (Index i = 0; i < c.rows; ++i) {
    auto* row = c.row<std::byte>(0) + static_cast<std::size_t>(i * c.stride) * bytes_of(c.type);
    std::fill_n(row, static_cast<std::size_t>(c.columns) * bytes_of(c.type), std::byte{0});
  }
}

/// What is added lies so many bytes behind c.
std::ptrdiff_t apart(const Product& product) {
  if (product.added == nullptr) return 0;
  return static_cast<const std::byte*>(product.added) - static_cast<const std::byte*>(product.c.data);
}

template <class Result>
const Result* behind(const Result* to, std::ptrdiff_t bytes) {
  return reinterpret_cast<const Result*>(reinterpret_cast<const std::byte*>(to) + bytes);
}

/// Sums in full precision become c, or what is added is added to them first.
template <class Sum, class Result>
void store(const Tensor& sums, const Tensor& c, bool add, std::ptrdiff_t added) {
  for (Index i = 0; i < c.rows; ++i) {
    Sum* sum = sums.row<Sum>(i);
    Result* to = c.row<Result>(i);
    const Result* from = behind(to, added);
    if (add)
      for (Index j = 0; j < c.columns; ++j) sum[j] += value_of(from[j]);
    copy_row(sum, to, c.columns);
  }
}

/// The product of a piece, some terms at a time. The sum stays apart, in full precision, until it is complete: what is
/// added to c does not depend on what c is.
void multiply_piece(const ProductPieces& pieces, const ProductPiece& piece, SerialProduct serial, const Tensor& c,
                    bool add, std::ptrdiff_t added) {
  if (piece.terms == 0 && (!add || added == 0)) {
    if (!add) zero(c);
    return;
  }
  thread_local Matrix<float> memory;
  const Index most = pieces.most_terms();
  const Index steps = range_count(piece.terms, most);
  Product one = pieces.window(piece, 0, 0);
  const bool rounds = c.type == Type::bf16 && (steps > 1 || one.a.type == Type::f32);
  const bool is_apart = rounds || add;
  Tensor sums = c;
  if (is_apart) {
    sums.type = sum_type(one);
    sums.stride = c.columns;
    memory.reshape(c.rows, c.columns * static_cast<Index>(bytes_of(sums.type) / sizeof(float)));
    sums.data = memory.data();
  }
  if (steps == 0) zero(sums);
  for (Index step = 0; step < steps && !stop_requested(); ++step) {
    const Index first = step * most;
    one = pieces.window(piece, first, std::min(most, piece.terms - first));
    one.c = sums;
    one.add = step > 0;
    serial(one);
  }
  if (!is_apart) return;
  if (c.type == Type::f64) store<double, double>(sums, c, add, added);
  if (c.type == Type::f32) store<float, float>(sums, c, add, added);
  if (c.type == Type::bf16) store<float, Bf16>(sums, c, add, added);
}

/// c = the sum of the parts, in order; or with what is added.
template <class Sum, class Result>
void add_parts(const Tensor& parts, Index part_count, const Tensor& c, bool add, std::ptrdiff_t added) {
  const Index rows = std::max(kNumbers / std::max(c.columns, Index{1}), Index{1});
  for_ranges(c.rows, rows, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      Sum* sum = parts.row<Sum>(i);
      for (Index part = 1; part < part_count; ++part) {
        const Sum* more = parts.row<Sum>(part * c.rows + i);
        for (Index j = 0; j < c.columns; ++j) sum[j] += more[j];
      }
      Result* to = c.row<Result>(i);
      const Result* from = behind(to, added);
      if (add)
        for (Index j = 0; j < c.columns; ++j) sum[j] += value_of(from[j]);
      copy_row(sum, to, c.columns);
    }
  });
}

}  // namespace

void CpuProducts::multiply(const Product& product) {
  check(product);
  pieces_.cut(product);
  const SerialProduct serial = serial_product(source_, product.a.type);
  const Index parts = pieces_.parts();
  const Index rows = product.c.rows;
  Tensor partial;
  if (parts > 1) {
    const Type type = sum_type(product);
    const Index columns = product.c.columns;
    partial_.reshape(product.c.batch * parts * rows, columns * static_cast<Index>(bytes_of(type)));
    partial = {partial_.data(), type, parts * rows, columns, columns, product.c.batch, parts * rows * columns};
  }
  for_long_ranges(pieces_.count(), 1, [&](Index i, Index) {
    const ProductPiece piece = pieces_[i];
    Tensor c = pieces_.window(piece, 0, 0).c;
    if (parts > 1)
      c = partial.entry(piece.entry)
              .row_range(piece.part * rows + piece.row, piece.rows)
              .column_range(piece.column, piece.columns);
    multiply_piece(pieces_, piece, serial, c, parts == 1 && product.add, apart(product));
  });
  if (parts == 1) return;
  for (Index entry = 0; entry < product.c.batch; ++entry) {
    const Tensor sums = partial.entry(entry);
    const Tensor c = product.c.entry(entry);
    if (c.type == Type::f64) add_parts<double, double>(sums, parts, c, product.add, apart(product));
    if (c.type == Type::f32) add_parts<float, float>(sums, parts, c, product.add, apart(product));
    if (c.type == Type::bf16) add_parts<float, Bf16>(sums, parts, c, false, 0);
  }
}

}  // namespace millrace
