#include "model/cpu/cpu_products.h"

#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>
#include <rapidcheck.h>

#include "model/stop.h"
#include "tests/model/device/typed_numbers.h"
#include "tests/property.h"

namespace millrace {
namespace {

using test::TypedNumbers;
using Ragged = Product::Ragged;
using Side = Product::Side;

/// The memory of a product. With Ragged::none, `lengths` says nothing and M, K are whole; else entry i has lengths[i]
/// rows or terms.
struct Work {
  struct Sides {
    Index rows, columns, inner;
  };
  Sides sides;
  std::vector<std::int32_t> first{0};
  TypedNumbers a, b, c, before;
  Product product;

  Work(Sides whole, Index batch, Ragged ragged, const std::vector<Index>& lengths, Side a_side, Side b_side,
       Type factors, Type result, bool add, Index gap, std::uint64_t seed = 1)
      : sides(whole),
        a(factors,
          a_side == Side::plain ? rows_in_memory(whole, ragged, lengths) : terms_in_memory(whole, ragged, lengths),
          a_side == Side::plain ? whole.inner : whole.rows, ragged == Ragged::none ? batch : 1, gap),
        b(factors, b_side == Side::plain ? terms_in_memory(whole, ragged, lengths) : whole.columns,
          b_side == Side::plain ? whole.columns : whole.inner, ragged == Ragged::inner ? 1 : batch, gap),
        c(result, rows_in_memory(whole, ragged, lengths), whole.columns, ragged == Ragged::rows ? 1 : batch, gap),
        before(result, c.tensor().rows, whole.columns, c.tensor().batch, gap) {
    a.fill(seed);
    b.fill(seed + 1);
    c.fill(seed + 2);
    before.fill(seed + 2);
    for (const Index length : lengths) first.push_back(first.back() + static_cast<std::int32_t>(length));
    product = {a.tensor(), b.tensor(), c.tensor(), a_side, b_side, add, ragged};
    if (ragged != Ragged::none) {
      product.first = first.data();
      product.most_rows = first.back();
    }
  }

  /// What is added lies apart from c, whose numbers do not count.
  void add_from_elsewhere() {
    product.added = before.tensor().data;
    for (Index entry = 0; entry < c.tensor().batch; ++entry)
      for (Index i = 0; i < c.tensor().rows; ++i)
        for (Index j = 0; j < c.tensor().columns; ++j) c.set(i, j, 99, entry);
  }

  /// The largest error of any number, and whether nothing else was written to.
  double error() const {
    double worst = 0;
    const Index batch = batch_of(product);
    for (Index entry = 0; entry < batch; ++entry) {
      const bool rows_vary = product.ragged == Ragged::rows;
      const bool terms_vary = product.ragged == Ragged::inner;
      const auto e = static_cast<std::size_t>(entry);
      const Index row0 = rows_vary ? first[e] : 0;
      const Index term0 = terms_vary ? first[e] : 0;
      const Index rows = rows_vary ? first[e + 1] - first[e] : sides.rows;
      const Index terms = terms_vary ? first[e + 1] - first[e] : sides.inner;
      const Index in_a = product.a.batch > 1 ? entry : 0;
      const Index in_b = product.b.batch > 1 ? entry : 0;
      const Index in_c = product.c.batch > 1 ? entry : 0;
      for (Index i = row0; i < row0 + rows; ++i) {
        for (Index j = 0; j < sides.columns; ++j) {
          double sum = product.add ? before.get(i, j, in_c) : 0;
          for (Index k = term0; k < term0 + terms; ++k)
            sum += (product.a_side == Side::plain ? a.get(i, k, in_a) : a.get(k, i, in_a)) *
                   (product.b_side == Side::plain ? b.get(k, j, in_b) : b.get(j, k, in_b));
          worst = std::max(worst, std::abs(c.get(i, j, in_c) - sum) / std::sqrt(1 + static_cast<double>(terms)));
        }
      }
    }
    return worst;
  }
  bool gaps_are_untouched() const {
    const Tensor t = c.tensor();
    for (Index entry = 0; entry < t.batch; ++entry)
      for (Index i = 0; i < t.rows; ++i)
        for (Index j = t.columns; j < t.stride; ++j)
          if (c.get(i, j, entry) != before.get(i, j, entry)) return false;
    return true;
  }

 private:
  static Index rows_in_memory(Sides whole, Ragged ragged, const std::vector<Index>& lengths) {
    return ragged == Ragged::rows ? std::accumulate(lengths.begin(), lengths.end(), Index{0}) : whole.rows;
  }
  static Index terms_in_memory(Sides whole, Ragged ragged, const std::vector<Index>& lengths) {
    return ragged == Ragged::inner ? std::accumulate(lengths.begin(), lengths.end(), Index{0}) : whole.inner;
  }
};

struct Types {
  Type factors, result;
};
constexpr Types kTypes[] = {{Type::f64, Type::f64},
                            {Type::f32, Type::f32},
                            {Type::f32, Type::bf16},
                            {Type::bf16, Type::f32},
                            {Type::bf16, Type::bf16}};

TEST(CpuProducts, AgreeWithTheObviousSumForAnySidesStridesBatchesTypesAndSources) {
  expect_holds(300, [] {
    const auto ragged = *rc::gen::element(Ragged::none, Ragged::rows, Ragged::inner);
    const Index batch = *rc::gen::inRange<Index>(0, 4);
    const auto side = [] {
      return *rc::gen::weightedOneOf<Index>(
          {{4, rc::gen::inRange<Index>(0, 40)}, {1, rc::gen::inRange<Index>(250, 600)}});
    };
    const Types types = *rc::gen::elementOf(std::vector<Types>(std::begin(kTypes), std::end(kTypes)));
    std::vector<Index> lengths;
    for (Index i = 0; ragged != Ragged::none && i < batch; ++i) lengths.push_back(side());
    const Side a_side = ragged == Ragged::rows
                            ? Side::plain
                            : (ragged == Ragged::inner || *rc::gen::arbitrary<bool>() ? Side::transposed : Side::plain);
    const Side b_side = ragged != Ragged::inner && *rc::gen::arbitrary<bool>() ? Side::transposed : Side::plain;
    const bool add = types.result != Type::bf16 && *rc::gen::arbitrary<bool>();
    Work work({side(), side(), side()}, batch, ragged, lengths, a_side, b_side, types.factors, types.result, add,
              *rc::gen::inRange<Index>(0, 5));
    if (add && ragged == Ragged::none && *rc::gen::arbitrary<bool>()) work.add_from_elsewhere();
    CpuProducts products(*rc::gen::element(ProductSource::onednn, ProductSource::loops));
    products.multiply(work.product);
    RC_ASSERT(work.error() <= test::tolerance_of(types.result) * 4);
    RC_ASSERT(work.gaps_are_untouched());
  });
}

TEST(CpuProducts, SumTermsInPartsAndStepsAsWell) {
  for (const ProductSource source : {ProductSource::onednn, ProductSource::loops}) {
    for (const Types types : kTypes) {
      Work work({20, 34, 8200}, 2, Ragged::none, {}, Side::transposed, Side::plain, types.factors, types.result,
                types.result != Type::bf16, 3);
      if (types.result == Type::f32) work.add_from_elsewhere();
      ASSERT_GT(piece_cut(20, 34, 8200).parts, 1);
      CpuProducts products(source);
      products.multiply(work.product);
      EXPECT_LE(work.error(), test::tolerance_of(types.result) * 2);
      Work steps({20, 34, 0}, 2, Ragged::inner, {3000, 1025}, Side::transposed, Side::plain, types.factors,
                 types.result, types.result != Type::bf16, 0);
      products.multiply(steps.product);
      EXPECT_LE(steps.error(), test::tolerance_of(types.result) * 2);
    }
  }
}

/// Without this the gradient of a step would not be the sum of its micro-batches' gradients.
TEST(CpuProducts, AddTheBitsThatTheyMakeAlone) {
  for (const ProductSource source : {ProductSource::onednn, ProductSource::loops}) {
    for (const Types types : kTypes) {
      if (types.result == Type::bf16) continue;
      for (const Index inner : {Index{1}, Index{70}, Index{900}, Index{8200}}) {
        SCOPED_TRACE(inner);
        const Work::Sides sides{20, 34, inner};
        Work alone(sides, 1, Ragged::none, {}, Side::transposed, Side::plain, types.factors, types.result, false, 3);
        Work added(sides, 1, Ragged::none, {}, Side::transposed, Side::plain, types.factors, types.result, true, 3);
        for (Work* work : {&alone, &added}) CpuProducts(source).multiply(work->product);
        for (Index i = 0; i < 20; ++i)
          for (Index j = 0; j < 34; ++j) {
            const double sum = alone.c.get(i, j, 0) + added.before.get(i, j, 0);
            ASSERT_EQ(added.c.get(i, j, 0),
                      types.result == Type::f32 ? static_cast<double>(static_cast<float>(sum)) : sum);
          }
      }
    }
  }
}

TEST(CpuProducts, GiveTheSameBitsOnAnyNumberOfThreads) {
  for (const ProductSource source : {ProductSource::onednn, ProductSource::loops}) {
    for (const Types types : kTypes) {
      for (const Ragged ragged : {Ragged::none, Ragged::rows, Ragged::inner}) {
        const std::vector<Index> lengths =
            ragged == Ragged::none ? std::vector<Index>{} : std::vector<Index>{96, 0, 300, 32};
        std::vector<std::uint8_t> expected;
        for (const int threads : {1, 2, 3, 8}) {
          omp_set_num_threads(threads);
          Work work({300, 130, ragged == Ragged::none ? 1030 : 70}, ragged == Ragged::none ? 1 : 4, ragged, lengths,
                    ragged == Ragged::inner ? Side::transposed : Side::plain, Side::plain, types.factors, types.result,
                    types.result != Type::bf16, 0);
          CpuProducts(source).multiply(work.product);
          if (threads == 1) expected = work.c.bytes();
          EXPECT_EQ(work.c.bytes(), expected) << threads;
        }
      }
    }
  }
  omp_set_num_threads(omp_get_num_procs());
}

/// Entry 1 of four, with the same numbers, alone, beside one other and beside all.
TEST(CpuProducts, AnEntryHasTheSameBitsBesideNoneHalfOrAllOthers) {
  constexpr std::int32_t kFrom = 64, kTo = 64 + 288;
  constexpr Index kColumns = 130;
  for (const ProductSource source : {ProductSource::onednn, ProductSource::loops}) {
    for (const Types types : kTypes) {
      for (const Ragged ragged : {Ragged::rows, Ragged::inner}) {
        const bool rows_vary = ragged == Ragged::rows;
        Work all({90, kColumns, 70}, 4, ragged, {kFrom, kTo - kFrom, 0, 500},
                 rows_vary ? Side::plain : Side::transposed, Side::plain, types.factors, types.result, false, 0);
        CpuProducts(source).multiply(all.product);
        for (const std::vector<std::int32_t>& places :
             {std::vector<std::int32_t>{kFrom, kFrom, kTo, kTo, kTo}, {0, kFrom, kTo, kTo, kTo}}) {
          TypedNumbers c(types.result, all.c.tensor().rows, kColumns, all.c.tensor().batch);
          Product some = all.product;
          some.first = places.data();
          some.c = c.tensor();
          CpuProducts(source).multiply(some);
          for (Index i = rows_vary ? kFrom : 0; i < (rows_vary ? kTo : 90); ++i)
            for (Index j = 0; j < kColumns; ++j) {
              const Index entry = rows_vary ? 0 : 1;
              ASSERT_EQ(c.get(i, j, entry), all.c.get(i, j, entry));
            }
        }
      }
    }
  }
}

TEST(CpuProducts, WithoutTermsGiveZerosOrLeaveWhatIsThere) {
  for (const ProductSource source : {ProductSource::onednn, ProductSource::loops}) {
    Work zeros({5, 7, 0}, 2, Ragged::none, {}, Side::plain, Side::plain, Type::f32, Type::f32, false, 0);
    CpuProducts(source).multiply(zeros.product);
    EXPECT_EQ(zeros.error(), 0);
    Work kept({5, 7, 0}, 2, Ragged::none, {}, Side::plain, Side::plain, Type::f32, Type::f32, true, 0);
    CpuProducts(source).multiply(kept.product);
    EXPECT_EQ(kept.c.bytes(), kept.before.bytes());
  }
}

std::string complaint(const Product& product) {
  try {
    CpuProducts(ProductSource::onednn).multiply(product);
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "";
}

TEST(CpuProducts, RefuseWhatDoesNotFitAndNameTheShapes) {
  const auto work = [](Ragged ragged = Ragged::none, const std::vector<Index>& lengths = {}) {
    return Work({5, 7, 3}, 2, ragged, lengths, Side::plain, Side::plain, Type::f32, Type::f32, false, 0);
  };
  const Work good = work();
  EXPECT_EQ(complaint(good.product), "");

  Product product = good.product;
  product.b_side = Side::transposed;
  EXPECT_NE(complaint(product).find("(5, 3) (7, 3) into (5, 7), batch 2"), std::string::npos) << complaint(product);
  product = good.product;
  product.b.batch = 1;
  EXPECT_NE(complaint(product), "");
  product = good.product;
  product.a.stride = 2;
  EXPECT_NE(complaint(product), "");
  product = good.product;
  product.b.type = Type::bf16;
  EXPECT_NE(complaint(product).find("bf16"), std::string::npos);
  product = good.product;
  product.c.type = Type::bf16;
  product.add = true;
  EXPECT_NE(complaint(product), "");
  product = good.product;
  product.added = product.c.data;
  EXPECT_NE(complaint(product), "") << "what is added, but nothing to be added";
  product = good.product;
  product.a.data = nullptr;
  EXPECT_NE(complaint(product), "");

  const Work ragged = work(Ragged::rows, {3, 4});
  EXPECT_EQ(complaint(ragged.product), "");
  product = ragged.product;
  product.most_rows = 3;
  EXPECT_NE(complaint(product).find("3 to 7"), std::string::npos) << complaint(product);
  product = ragged.product;
  product.first = nullptr;
  EXPECT_NE(complaint(product), "");
  product = ragged.product;
  product.a.rows = product.c.rows = 6;
  EXPECT_NE(complaint(product), "");
}

TEST(CpuProducts, StopWhenAsked) {
  Work work({300, 300, 30}, 1, Ragged::none, {}, Side::plain, Side::plain, Type::f32, Type::f32, false, 0);
  CpuProducts products(ProductSource::loops);
  request_stop();
  EXPECT_THROW(products.multiply(work.product), Stopped);
  withdraw_stop();
  products.multiply(work.product);
  EXPECT_LE(work.error(), 1e-5);
}

}  // namespace
}  // namespace millrace
