// The ways to a card and back, with a card that does everything as late as it may.
#include "model/cuda/copies.h"

#include <cstdint>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "tests/model/cuda/lazy_card.h"
#include "tests/property.h"

namespace millrace {
namespace {

using test::LazyCard;

/// Bytes that tell copies and places apart.
std::vector<std::uint8_t> bytes_of_copy(std::size_t bytes, std::size_t copy) {
  std::vector<std::uint8_t> all(bytes);
  for (std::size_t i = 0; i < bytes; ++i) all[i] = static_cast<std::uint8_t>(i * 7 + copy * 31 + i / 4096);
  return all;
}

/// Sizes around those of the parts.
std::size_t some_bytes() {
  return *rc::gen::element<std::size_t>(0, 1, 1000, 3'000'000, Staging::kPartBytes, Staging::kPartBytes + 1, 9'000'000);
}

TEST(Staging, KeepsWhatACardHasStillToRead) {
  expect_holds(10, [] {
    Staging staging(nullptr);
    std::vector<std::vector<std::uint8_t>> there;
    const auto count = *rc::gen::inRange<std::size_t>(1, 12);
    for (std::size_t copy = 0; copy < count; ++copy) there.emplace_back(some_bytes());
    for (std::size_t copy = 0; copy < count; ++copy) {
      std::vector<std::uint8_t> here = bytes_of_copy(there[copy].size(), copy);
      staging.copy(there[copy].data(), here.data(), here.size());
      here.assign(here.size(), 0);  // The caller's memory is the caller's again.
    }
    cudaStreamSynchronize(nullptr);
    for (std::size_t copy = 0; copy < count; ++copy) RC_ASSERT(there[copy] == bytes_of_copy(there[copy].size(), copy));
  });
}

TEST(Staging, WaitsForNothingWhileItsMemoryIsNotFull) {
  Staging staging(nullptr);
  std::vector<std::uint8_t> here(100'000);
  std::vector<std::uint8_t> there(100'000);
  const std::size_t before = LazyCard::only().given();
  for (int copy = 0; copy < 300; ++copy) staging.copy(there.data(), here.data(), here.size());
  EXPECT_GE(LazyCard::only().most_waiting(), LazyCard::only().given() - before) << "some were waited for";
  cudaStreamSynchronize(nullptr);
}

TEST(Returning, HandsOnWhatWasAskedForBeforeAMoment) {
  expect_holds(10, [] {
    Returning returning(nullptr);
    std::vector<std::vector<std::uint8_t>> there;
    std::vector<std::vector<std::uint8_t>> here;
    std::vector<std::uint64_t> moments;
    const auto count = *rc::gen::inRange<std::size_t>(1, 14);
    for (std::size_t copy = 0; copy < count; ++copy) {
      there.push_back(bytes_of_copy(some_bytes(), copy));
      here.emplace_back(there.back().size());
    }
    const auto arrived = [&](std::size_t copy) { return here[copy] == there[copy]; };
    std::size_t waited = 0;
    for (std::size_t copy = 0; copy < count; ++copy) {
      returning.copy(here[copy].data(), there[copy].data(), there[copy].size());
      moments.push_back(returning.moment());
      if (!*rc::gen::weightedElement<bool>({{3, false}, {1, true}})) continue;
      waited = *rc::gen::inRange(waited, copy + 1);
      returning.wait_for(moments[waited]);
      for (std::size_t before = 0; before <= waited; ++before) RC_ASSERT(arrived(before));
    }
    returning.wait();
    for (std::size_t copy = 0; copy < count; ++copy) RC_ASSERT(arrived(copy));
  });
}

TEST(Returning, WaitsForNothingUntilItIsAsked) {
  Returning returning(nullptr);
  const std::vector<std::uint8_t> there = bytes_of_copy(100'000, 1);
  std::vector<std::uint8_t> first(there.size());
  std::vector<std::uint8_t> second(there.size());
  returning.copy(first.data(), there.data(), there.size());
  const std::uint64_t moment = returning.moment();
  returning.copy(second.data(), there.data(), there.size());
  EXPECT_EQ(LazyCard::only().most_waiting(), 2U);
  returning.wait_for(moment);
  EXPECT_EQ(first, there);
  EXPECT_EQ(second, std::vector<std::uint8_t>(there.size())) << "nobody asked for it yet";
  EXPECT_THROW(returning.wait_for(moment + 1), std::logic_error);
  returning.wait();
  EXPECT_EQ(second, there);
}

TEST(Returning, WritesAFewPiecesOfALongCopyWhileOneIsHandedOn) {
  Returning returning(nullptr);
  const std::vector<std::uint8_t> there = bytes_of_copy(50'000'000, 1);
  std::vector<std::uint8_t> here(there.size());
  returning.copy(here.data(), there.data(), there.size());
  EXPECT_GE(LazyCard::only().most_waiting(), 2U);
  returning.wait();
  EXPECT_EQ(here, there);
}

}  // namespace
}  // namespace millrace
