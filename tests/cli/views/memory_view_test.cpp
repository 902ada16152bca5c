// What is said of a run's memory where a card computes; tests/cli/memory_test.py asks the program about the
// processor's.
#include "cli/views/memory_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"

namespace millrace {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::uint64_t kGiga = 1'000'000'000;

class MemoryOfACard : public testing::Test {
 protected:
  MemoryOfACard() {
    train_.device = "cuda";
    train_.precision = "bf16";
    train_.micro_rows = 8;
  }
  MemoryQuestion question() const { return {.model = model_, .train = train_, .sequence_length = 2048}; }
  static MachineMemory with_card(std::uint64_t gigabytes) {
    return {.bytes = 200 * kGiga, .limit = "memory available", .card = gigabytes * kGiga, .card_name = "a card"};
  }
  std::string refusal(const MachineMemory& machine) const {
    try {
      refuse_what_does_not_fit("run.toml", question(), machine);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  }

  ModelConfig model_ = model_preset("openmoe-8b");
  TrainConfig train_;
};

TEST_F(MemoryOfACard, IsRefusedWithWhatItTakesWhatIsFreeAndWhatWouldFit) {
  const std::string said = refusal(with_card(150));
  EXPECT_THAT(said, AllOf(HasSubstr("run.toml: the run takes 179 GB of the card's memory, 150 GB are free on a card"),
                          HasSubstr("it would fit with --set train.micro_rows=2"), HasSubstr("on the card")));
  train_.micro_rows = 2;
  EXPECT_EQ(refusal(with_card(150)), "");
  train_.micro_rows = 8;
  train_.recompute = true;
  EXPECT_EQ(refusal(with_card(150)), "");
}

TEST_F(MemoryOfACard, OfWhatFitsWithNoSettingsTellsTheCardsAndTheRest) {
  EXPECT_THAT(refusal(with_card(80)),
              AllOf(HasSubstr("it would still take 12"), HasSubstr(" GB of the card's memory and "),
                    HasSubstr(" GB beside it; take a smaller [model], or a machine with more memory")));
  MachineMemory little = with_card(150);
  little.bytes = 20 * kGiga;
  EXPECT_THAT(refusal(little), HasSubstr("this machine has 20.0 GB (memory available)"));
}

}  // namespace
}  // namespace millrace
