#include "trainer/ranked/ownership.h"

#include <algorithm>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "model/config/model_config.h"
#include "tests/property.h"

namespace millrace {
namespace {

using Parts = std::vector<std::vector<ParameterPart>>;

std::vector<ParameterSpec> specs_of_preset(const std::string& name) {
  ModelConfig config = model_preset(name);
  if (config.vocab_size == 0) config.vocab_size = 256384;
  return parameter_specs(config);
}

/// Fails unless every piece of rows has one owner, and parts are as optimizers take them.
void expect_everything_once(const std::vector<ParameterSpec>& specs, const Parts& owners) {
  const PieceNumbers numbers(specs);
  std::vector<int> count(static_cast<std::size_t>(numbers.count()));
  Index size = 0;
  for (const std::vector<ParameterPart>& parts : owners) {
    numbers.expect_parts(parts);
    size += size_of(parts, specs);
    for (const ParameterPart& part : parts) {
      const PieceRange range = numbers.of(part);
      for (Index piece = range.first; piece < range.first + range.count; ++piece)
        ++count[static_cast<std::size_t>(piece)];
    }
  }
  RC_ASSERT(std::ranges::all_of(count, [](int owned) { return owned == 1; }));
  Index all = 0;
  for (const ParameterSpec& spec : specs) all += spec.size();
  RC_ASSERT(size == all);
}

TEST(Ownership, GivesEveryElementOnceWhateverTheShapes) {
  expect_holds(200, [] {
    std::vector<ParameterSpec> specs;
    const int count = *rc::gen::inRange(1, 12);
    for (int i = 0; i < count; ++i) {
      const auto extent = [] { return std::int64_t{*rc::gen::inRange(1, 3000)}; };
      ParameterSpec spec;
      spec.name = std::to_string(i);
      const int kind = *rc::gen::inRange(0, 3);
      if (kind == 0) spec.shape = {extent()};
      if (kind == 1) spec.shape = {extent(), extent()};
      if (kind == 2) spec.shape = {*rc::gen::inRange(1, 9), extent(), extent()};
      spec.per_expert = kind == 2;
      specs.push_back(std::move(spec));
    }
    expect_everything_once(specs, ownership(specs, *rc::gen::inRange(1, 70)));
  });
}

TEST(Ownership, IsBalancedWithinFivePercentForThePublishedModels) {
  for (const char* preset : {"openmoe-base", "openmoe-8b", "openmoe-34b"}) {
    const std::vector<ParameterSpec> specs = specs_of_preset(preset);
    Index all = 0;
    for (const ParameterSpec& spec : specs) all += spec.size();
    for (const int owners : {2, 3, 4, 6, 7, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 207, 256, 306, 384, 441, 512}) {
      const Parts parts = ownership(specs, owners);
      expect_everything_once(specs, parts);
      Index most = 0;
      for (const std::vector<ParameterPart>& own : parts) most = std::max(most, size_of(own, specs));
      EXPECT_LE(static_cast<double>(most) * owners, 1.05 * static_cast<double>(all)) << preset << " " << owners;
    }
  }
}

TEST(Ownership, OfOneOwnerIsEverything) {
  const std::vector<ParameterSpec> specs = specs_of_preset("openmoe-nano");
  EXPECT_EQ(ownership(specs, 1), Parts{whole_parameters(specs)});
}

TEST(Ownership, LeavesNothingForOwnersBeyondThePieces) {
  const std::vector<ParameterSpec> specs{{"gains", {10}, {}, false}, {"more", {7}, {}, false}};
  EXPECT_EQ(ownership(specs, 3), (Parts{{{0, 0, 1, 0, 1}}, {{1, 0, 1, 0, 1}}, {}}));
}

}  // namespace
}  // namespace millrace
