#include "model/device/few_rows.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <sys/mman.h>

#include "tests/model/cuda/lanes_in_turn.h"
#include "tests/model/device/typed_numbers.h"
#include "tests/model/kernels/ordered_device.h"
#include "tests/property.h"

namespace millrace {
namespace {

using namespace test;
using Side = Product::Side;

/// The same product by every stand-in for a card.
template <class Work>
void on_each_device(Precision precision, const Work& work) {
  for (const Order order : {Order::forwards, Order::backwards, Order::shuffled}) {
    OrderedDevice ordered(precision, order, false);
    work(ordered, 0);
    if (precision == Precision::f64) continue;
    LanesInTurnDevice in_turn(precision, order);
    work(in_turn, 1);
  }
}

TEST(FewRows, AreMultipliedAsAProductIsWhateverTheSidesInAnyOrderOfLanes) {
  expect_holds(60, [] {
    const auto precision = *rc::gen::element(Precision::f32, Precision::bf16);
    const Type real = real_type(precision);
    const Type factors = *rc::gen::element(real, low_type(precision));
    const Type result = factors == Type::bf16 ? *rc::gen::element(Type::bf16, Type::f32) : real;
    const Index columns = *rc::gen::element<Index>(1, 7, 8, 40, 67, 96);
    const Index inner = *rc::gen::element<Index>(1, 5, 16, 70, 264);
    const Index gap = *rc::gen::element<Index>(0, 0, 3, 8);
    const bool is_turned = *rc::gen::arbitrary<bool>();
    const bool add = result == Type::f32 && *rc::gen::arbitrary<bool>();
    const bool is_elsewhere = add && *rc::gen::arbitrary<bool>();
    TypedNumbers x(factors, 1, inner, 1, gap);
    TypedNumbers w(factors, is_turned ? columns : inner, is_turned ? inner : columns, 1, gap);
    x.fill(1);
    w.fill(2);
    std::vector<std::uint8_t> bits[2];
    on_each_device(precision, [&](Device& device, std::size_t kind) {
      TypedNumbers y(result, 1, columns, 1, 5);
      y.fill(3);
      std::vector<double> old;
      for (Index j = 0; j < columns + 5; ++j) old.push_back(y.get(0, j));
      Product product{x.tensor(), w.tensor(), y.tensor(), Side::plain, is_turned ? Side::transposed : Side::plain, add};
      TypedNumbers elsewhere(result, 1, columns, 1, 5);
      elsewhere.fill(4);
      if (is_elsewhere) product.added = elsewhere.tensor().data;
      RC_ASSERT(has_few_rows(product));
      device.multiply(product);
      for (Index j = 0; j < columns; ++j) {
        double sum = !add ? 0 : is_elsewhere ? elsewhere.get(0, j) : old[static_cast<std::size_t>(j)];
        for (Index k = 0; k < inner; ++k) sum += x.get(0, k) * (is_turned ? w.get(j, k) : w.get(k, j));
        RC_ASSERT(std::abs(y.get(0, j) - sum) <= tolerance_of(result) * std::sqrt(static_cast<double>(inner) + 1));
      }
      for (Index j = columns; j < columns + 5; ++j) RC_ASSERT(y.get(0, j) == old[static_cast<std::size_t>(j)]);
      if (bits[kind].empty()) bits[kind] = y.bytes();
      RC_ASSERT(bits[kind] == y.bytes());
    });
  });
}

/// Weights of experts of which some may not be read.
class GuardedExperts {
 public:
  GuardedExperts(Index experts, std::size_t bytes) : bytes_((bytes + 4095) / 4096 * 4096), experts_(experts) {
    memory_ = mmap(nullptr, bytes_ * static_cast<std::size_t>(experts), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  ~GuardedExperts() { munmap(memory_, bytes_ * static_cast<std::size_t>(experts_)); }
  GuardedExperts(const GuardedExperts&) = delete;
  GuardedExperts& operator=(const GuardedExperts&) = delete;

  std::byte* expert(Index i) const { return static_cast<std::byte*>(memory_) + bytes_ * static_cast<std::size_t>(i); }
  std::size_t apart() const { return bytes_; }
  void forbid(Index i) const { mprotect(expert(i), bytes_, PROT_NONE); }

 private:
  std::size_t bytes_;
  Index experts_;
  void* memory_;
};

TEST(FewRows, OfExpertsReadTheWeightsOfThoseAloneThatHaveRows) {
  constexpr Index kExperts = 7;
  constexpr Index kInner = 48;
  constexpr Index kColumns = 72;
  const GuardedExperts experts(kExperts, kInner * kColumns * sizeof(float));
  const auto apart = static_cast<Index>(experts.apart() / sizeof(float));
  const Tensor weights{experts.expert(0), Type::f32, kInner, kColumns, kColumns, kExperts, apart};
  for (Index e = 0; e < kExperts; ++e) {
    auto* numbers = reinterpret_cast<float*>(experts.expert(e));
    for (Index i = 0; i < kInner * kColumns; ++i)
      numbers[i] = static_cast<float>(uniform(static_cast<std::uint64_t>(e), static_cast<std::uint64_t>(i)));
  }
  // Expert 1 has row 0, expert 4 rows 1 and 2, expert 6 row 3; row 4 is nobody's.
  const std::vector<std::int32_t> first{0, 0, 1, 1, 1, 3, 3, 4};
  const std::vector<Index> expert_of{1, 4, 4, 6};
  TypedNumbers x(Type::f32, 5, kInner);
  x.fill(1);
  TypedNumbers expected(Type::f32, 4, kColumns);
  for (Index row = 0; row < 4; ++row)
    for (Index j = 0; j < kColumns; ++j) {
      double sum = 0;
      const auto* of_expert = reinterpret_cast<const float*>(experts.expert(expert_of[static_cast<std::size_t>(row)]));
      for (Index k = 0; k < kInner; ++k) sum += x.get(row, k) * static_cast<double>(of_expert[k * kColumns + j]);
      expected.set(row, j, sum);
    }
  for (const Index e : {0, 2, 3, 5}) experts.forbid(e);
  on_each_device(Precision::f32, [&](Device& device, std::size_t) {
    TypedNumbers y(Type::f32, 5, kColumns);
    y.fill(9);
    const double nobodys = y.get(4, 3);
    Product product{x.tensor(), weights, y.tensor()};
    product.ragged = Product::Ragged::rows;
    product.first = first.data();
    product.most_rows = 5;
    ASSERT_TRUE(has_few_rows(product));
    device.multiply(product);
    for (Index row = 0; row < 4; ++row)
      for (Index j = 0; j < kColumns; ++j) ASSERT_NEAR(y.get(row, j), expected.get(row, j), 1e-4);
    EXPECT_EQ(y.get(4, 3), nobodys);
  });
}

TEST(FewRows, AreNotThoseOfManyRowsNorOfGradients) {
  const Tensor one{nullptr, Type::bf16, 1, 8, 8};
  const Tensor two{nullptr, Type::bf16, 2, 8, 8};
  EXPECT_TRUE(has_few_rows({one, one, one}));
  EXPECT_FALSE(has_few_rows({two, one, two}));
  Product ragged{two, one, two};
  ragged.ragged = Product::Ragged::rows;
  EXPECT_TRUE(has_few_rows(ragged));
  ragged.c.rows = kMostFewRows + 1;
  EXPECT_FALSE(has_few_rows(ragged));
  ragged.c.rows = 1;
  ragged.ragged = Product::Ragged::inner;
  EXPECT_FALSE(has_few_rows(ragged));
  EXPECT_FALSE(has_few_rows({one, one, one, Side::transposed})) << "a gradient's";
}

}  // namespace
}  // namespace millrace
