#include "pipeline/config/objective_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

using testing::HasSubstr;

const std::string kSpan =
    "[[denoiser]]\nname = \"s\"\nkind = \"span\"\nshare = 100\nmean_span = 3\nmask_ratio = 0.15\nprompt = \"[X] \"\n";
const std::string kCausal = "[[denoiser]]\nname = \"c\"\nkind = \"causal\"\nshare = 100\n";

Objective objective_of(const std::string& text) {
  const TemporaryFolder folder;
  return load_objective(folder.write("objective.toml", text));
}

std::string complaint_about_objective(const std::string& text) {
  try {
    objective_of(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::filesystem::path mixes() {
  return std::filesystem::path(MILLRACE_SOURCE_DIR) / "mixes/objectives";
}

TEST(ObjectiveFile, ReadsTheSixDenoisersOfOpenMoeInBothLayouts) {
  const Objective full = load_objective(mixes() / "ul2-openmoe.toml");
  ASSERT_EQ(full.denoisers.size(), 6U);
  EXPECT_EQ(full.denoisers[5].kind, DenoiserKind::prefix);
  EXPECT_DOUBLE_EQ(full.denoisers[5].share, 0.5);
  EXPECT_EQ(full.separator, Separator::none);
  EXPECT_EQ(full.layout, RowLayout::full);

  const Objective packed = load_objective(mixes() / "ul2-openmoe-packed.toml");
  EXPECT_EQ(packed.layout, RowLayout::openmoe);
  EXPECT_EQ(packed.lengths, (FeatureLengths{1024, 1024}));
  EXPECT_EQ(packed.max_document_tokens, 65'536U);
  ASSERT_EQ(packed.denoisers.size(), 6U);
  for (std::size_t d = 0; d < 6; ++d) {
    EXPECT_EQ(packed.denoisers[d].name, full.denoisers[d].name);
    EXPECT_EQ(packed.denoisers[d].share, full.denoisers[d].share);
    EXPECT_EQ(packed.denoisers[d].mean_span, full.denoisers[d].mean_span);
    EXPECT_EQ(packed.denoisers[d].mask_ratio, full.denoisers[d].mask_ratio);
    EXPECT_EQ(packed.denoisers[d].prompt, full.denoisers[d].prompt);
  }
}

TEST(ObjectiveFile, ComesBackFromItsOwnText) {
  const TemporaryFolder folder;
  for (const std::string& text :
       {"layout = \"openmoe\"\ninputs = 40\ntargets = 20\nseparator = \"eos\"\nmax_document_tokens = 99\n" + kSpan,
        "layout = \"openmoe\"\ntargets = 64\nattention = \"document\"\n" + kCausal, kSpan}) {
    const Objective objective = objective_of(text);
    const Objective again = load_objective(folder.write("again.toml", to_toml(objective)));
    EXPECT_EQ(to_toml(again), to_toml(objective));
    EXPECT_EQ(again.layout, objective.layout);
    EXPECT_EQ(again.lengths, objective.lengths);
    EXPECT_EQ(again.separator, objective.separator);
    EXPECT_EQ(again.attention, objective.attention);
    EXPECT_EQ(again.max_document_tokens, objective.max_document_tokens);
  }
  EXPECT_EQ(to_toml(objective_of("name = \"o\"\n" + kCausal)),
            "name = \"o\"\nlayout = \"full\"\nseparator = \"eos\"\n\n" + kCausal)
      << "defaults of later keys are not written: runs that had none stay the same";
}

TEST(ObjectiveFile, GivesEveryKindOfDenoiserAgain) {
  for (std::size_t kind = 0; kind < kDenoiserKinds.size(); ++kind) {
    Objective objective = objective_of(kSpan);
    objective.denoisers[0].kind = static_cast<DenoiserKind>(kind);
    objective.denoisers[0].prompt.clear();
    const std::string text = to_toml(objective);
    EXPECT_THAT(text, HasSubstr(std::string("kind = \"") + kDenoiserKinds[kind] + '"'));
    EXPECT_EQ(objective_of(text).denoisers[0].kind, objective.denoisers[0].kind) << text;
  }
}

TEST(ObjectiveFile, RefusesLengthsThatTheLayoutOrTheDenoisersGiveNoMeaning) {
  EXPECT_THAT(complaint_about_objective("inputs = 5\n" + kSpan),
              HasSubstr("objective.toml:1:1: inputs has no meaning"));
  EXPECT_THAT(complaint_about_objective("layout = \"openmoe\"\ntargets = 64\n" + kSpan), HasSubstr("inputs"));
  EXPECT_THAT(complaint_about_objective("layout = \"openmoe\"\ninputs = 64\n" + kSpan), HasSubstr("targets"));
  EXPECT_THAT(complaint_about_objective("layout = \"openmoe\"\ninputs = 64\ntargets = 1\n" + kSpan),
              HasSubstr("targets is 1"));
  EXPECT_THAT(complaint_about_objective("layout = \"openmoe\"\ninputs = 64\ntargets = 64\n" + kCausal),
              HasSubstr("causal examples are targets only"));
}

TEST(ObjectiveFile, RefusesSpansThatHideNothingOrEverything) {
  for (const char* ratio : {"0", "1"}) {
    const std::string text =
        "[[denoiser]]\nname = \"s\"\nshare = 100\nmean_span = 3\nmask_ratio = " + std::string(ratio);
    EXPECT_THAT(complaint_about_objective(text), HasSubstr("objective.toml:5:1: [[denoiser]] mask_ratio is " +
                                                           std::string(ratio) + ", expected a number from 0 to 1"));
  }
}

TEST(ObjectiveFile, RefusesAttentionWithinDocumentsForDenoisersWhoseTargetsNeedTheirInputs) {
  EXPECT_THAT(complaint_about_objective("attention = \"document\"\n" + kSpan), HasSubstr("only causal denoisers"));
  EXPECT_EQ(complaint_about_objective("attention = \"document\"\n" + kCausal), "");
}

TEST(ObjectiveFile, IsCalledCausalOnlyIfItIs) {
  EXPECT_EQ(objective_of("name = \"causal\"\n" + kCausal).name, "causal");
  EXPECT_THAT(complaint_about_objective("name = \"causal\"\n" + kSpan),
              HasSubstr("evaluations are told apart by this name"));
}

}  // namespace
}  // namespace millrace
