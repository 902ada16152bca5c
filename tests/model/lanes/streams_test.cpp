#include "model/lanes/streams.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "model/lanes/team.h"
#include "tests/model/kernels/ordered_device.h"
#include "tests/model/test_support.h"
#include "tests/property.h"

namespace millrace {
namespace {

using namespace test;

/// Floats and bf16 that begin so many numbers behind an aligned place, with others around them.
template <class Number>
class Placed {
 public:
  Placed(Index count, Index offset, std::uint64_t seed) : offset_(offset), memory_(1, count + offset + 16) {
    for (Index i = 0; i < memory_.columns(); ++i)
      memory_.data()[i] = stored_as<Number>(static_cast<float>(2 * uniform(seed, static_cast<std::uint64_t>(i)) - 1));
    before_.assign(memory_.data(), memory_.data() + memory_.columns());
  }
  Number* numbers() { return memory_.data() + offset_; }
  /// As they were.
  float before(Index i) const { return value_of(before_[static_cast<std::size_t>(offset_ + i)]); }
  bool kept_around(Index count) const {
    for (Index i = 0; i < memory_.columns(); ++i)
      if ((i < offset_ || i >= offset_ + count) && memory_.data()[i] != before_[static_cast<std::size_t>(i)])
        return false;
    return true;
  }

 private:
  Index offset_;
  Matrix<Number> memory_;
  std::vector<Number> before_;
};

/// Work(team) by every team, with lanes in every order.
template <class Work>
void by_each_team(const Work& work) {
  work(SerialTeam{});
  work(OrderedTeam<Order::forwards>{});
  work(OrderedTeam<Order::backwards>{});
  work(OrderedTeam<Order::shuffled>{});
}

TEST(Streams, GiveTheWorkEachPlacesNumbersAndKeepWhatItMadeOfThem) {
  expect_holds(60, [] {
    const Index count = *rc::gen::element<Index>(0, 1, 7, 8, 9, 64, 70, 600);
    const Index offset = *rc::gen::element<Index>(0, 0, 1, 4, 8);
    by_each_team([&](const auto& team) {
      Placed<float> x(count, offset, 1);
      Placed<Bf16> y(count, 0, 2);
      Placed<float> sum(count, 0, 3);
      Placed<Bf16> product(count, offset, 4);
      const auto work = [](float a, float b, float& all, float& both) {
        all += a;
        both = a * b;
        return static_cast<double>(a);
      };
      const double total = sum_numbers(team, count, work, reading(x.numbers()), reading(y.numbers()),
                                       updating(sum.numbers()), writing(product.numbers()));
      double expected = 0;
      for (Index i = 0; i < count; ++i) {
        expected += static_cast<double>(x.before(i));
        RC_ASSERT(sum.numbers()[i] == sum.before(i) + x.before(i));
        RC_ASSERT(product.numbers()[i] == rounded(x.before(i) * y.before(i)));
      }
      RC_ASSERT(std::abs(total - expected) < 1e-9);
      RC_ASSERT(x.kept_around(0) && y.kept_around(0) && sum.kept_around(count) && product.kept_around(count));
    });
  });
}

TEST(Streams, FindTheLargestNumberWhereverItIs) {
  expect_holds(60, [] {
    const Index count = *rc::gen::element<Index>(1, 8, 9, 64, 70);
    const Index offset = *rc::gen::element<Index>(0, 1);
    const Index at = *rc::gen::inRange<Index>(0, count);
    by_each_team([&](const auto& team) {
      Placed<float> x(count, offset, 1);
      x.numbers()[at] = 5;
      RC_ASSERT(max_numbers(
                    team, count, [](float number) { return 2 * number; }, reading(x.numbers())) == 10);
    });
  });
}

TEST(Streams, CopyAndClearWhatTheyAreGivenAndNoMore) {
  for (const Index count : {0, 5, 8, 70}) {
    for (const Index offset : {0, 3}) {
      by_each_team([&](const auto& team) {
        Placed<Bf16> from(count, offset, 1), to(count, offset, 2), cleared(count, offset, 3);
        copy_numbers(team, count, static_cast<const Bf16*>(from.numbers()), to.numbers());
        clear_numbers(team, count, cleared.numbers());
        for (Index i = 0; i < count; ++i) {
          EXPECT_EQ(value_of(to.numbers()[i]), from.before(i));
          EXPECT_EQ(value_of(cleared.numbers()[i]), 0);
        }
        EXPECT_TRUE(to.kept_around(count) && cleared.kept_around(count) && from.kept_around(0));
      });
    }
  }
}

}  // namespace
}  // namespace millrace
