#include "model/ops/gemm.h"

#include <cstring>
#include <stdexcept>

#include <gtest/gtest.h>
#include <omp.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/model/test_support.h"

namespace millrace {
namespace {

using test::random_matrix;

/// The slow reference product.
template <class Scalar>
double entry(View<const Scalar> a, bool a_transposed, View<const Scalar> b, bool b_transposed, Index i, Index j) {
  const Index inner = a_transposed ? a.rows : a.columns;
  double sum = 0;
  for (Index k = 0; k < inner; ++k) {
    sum += static_cast<double>(a_transposed ? a.row(k)[i] : a.row(i)[k]) *
           static_cast<double>(b_transposed ? b.row(j)[k] : b.row(k)[j]);
  }
  return sum;
}

template <class Scalar>
void expect_products(Index rows, Index columns, Index inner, double tolerance) {
  for (const auto& [ta, tb] : {std::pair{false, false}, {false, true}, {true, false}}) {
    const auto a = ta ? random_matrix<Scalar>(inner, rows, 1) : random_matrix<Scalar>(rows, inner, 1);
    const auto b = tb ? random_matrix<Scalar>(columns, inner, 2) : random_matrix<Scalar>(inner, columns, 2);
    Matrix<Scalar> c = random_matrix<Scalar>(rows, columns, 3);
    const auto before = random_matrix<Scalar>(rows, columns, 3);
    if (ta) matmul_tn(a.view(), b.view(), c.view(), Into::add);
    if (tb) matmul_nt(a.view(), b.view(), c.view(), Into::add);
    if (!ta && !tb) matmul_nn(a.view(), b.view(), c.view(), Into::add);
    for (Index i = 0; i < rows; ++i) {
      for (Index j = 0; j < columns; ++j) {
        const double expected = entry<Scalar>(a.view(), ta, b.view(), tb, i, j) + static_cast<double>(before.row(i)[j]);
        RC_ASSERT(std::abs(static_cast<double>(c.row(i)[j]) - expected) <=
                  tolerance * (1 + static_cast<double>(inner)));
      }
    }
  }
}

RC_GTEST_PROP(Matmul, AgreesWithTheObviousSumForAnyShape, ()) {
  const Index rows = *rc::gen::inRange<Index>(1, 300);
  const Index columns = *rc::gen::inRange<Index>(1, 70);
  const Index inner = *rc::gen::inRange<Index>(1, 40);
  expect_products<float>(rows, columns, inner, 1e-6);
  expect_products<double>(columns, rows, inner, 1e-14);
}

TEST(Matmul, GivesTheSameBitsOnAnyNumberOfThreads) {
  const auto a = random_matrix<float>(2050, 190, 1);
  const auto b = random_matrix<float>(2050, 333, 2);
  Matrix<float> first;
  for (const int threads : {1, 2, 3, 5}) {
    omp_set_num_threads(threads);
    Matrix<float> c = test::zeros<float>(190, 333);
    matmul_tn(a.view(), b.view(), c.view(), Into::add);
    if (threads == 1)
      first = std::move(c);
    else
      EXPECT_EQ(std::memcmp(first.data(), c.data(), 190 * 333 * sizeof(float)), 0) << threads;
  }
  omp_set_num_threads(omp_get_num_procs());
}

TEST(Matmul, RefusesShapesThatDoNotFit) {
  const auto a = random_matrix<float>(3, 4, 1);
  Matrix<float> c(3, 4);
  EXPECT_THROW(matmul_nn(a.view(), a.view(), c.view()), std::logic_error);
}

}  // namespace
}  // namespace millrace
