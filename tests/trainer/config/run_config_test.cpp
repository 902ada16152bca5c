// Run files and the folders that keep them.
#include "trainer/config/run_config.h"

#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

using testing::HasSubstr;

constexpr const char* kMix = "name = \"m\"\n[[corpus]]\nname = \"c\"\nshare = 100\nshards = [\"c.jsonl\"]\n";
constexpr const char* kObjective =
    "name = \"causal\"\n[[denoiser]]\nname = \"causal\"\nkind = \"causal\"\nshare = 100\n";

/// run.toml as written by a program version before the key tables, with every key that it could write.
constexpr const char* kEarlierRun = R"(name = "a \"run\""
seed = 18446744073709551615
vocab = "/v/vocab.model"
sequence_length = 64

[[phase]]
until = 5120
mix = "mixes/phase-1.toml"
objective = "objectives/phase-1.toml"

[[phase]]
until = 15360
mix = "mixes/phase-2.toml"
objective = "objectives/phase-2.toml"

[data]
directory = "/data"
holdout = 0.05
shuffle_block = 16
shuffle_bytes = 16777216
shuffle_shards = 0
shuffle_memory = 2147483648
replay_bytes = 8589934592
shuffle_tokens = 8388608
sampling = "random"
on_bad_data = "fail"
max_bad_fraction = 0.01
max_record_bytes = 67108864
allow_unreadable = ["a.jsonl", "b c.jsonl"]

[model]
preset = "openmoe-base"
vocab_size = 512
hidden_size = 32
intermediate_size = 48
num_hidden_layers = 2
num_attention_heads = 2
head_dim = 16
max_position_embeddings = 2048
rms_norm_eps = 1e-06
rope_theta = 10000
num_experts = 4
moe_layer_interval = 2
router_topk = 2
router_capacity_factor_train = 1.25
router_capacity_factor_eval = 2
router_min_capacity = 4
router_group_size = 4096
pads_routed = false
router_aux_loss_factor = 0.01
router_z_loss_factor = 0.0001
z_loss_factor = 0.0001
capacity_rule = "dropless"

[train]
batch_rows = 4
micro_rows = 2
tokens = 15360
optimizer = "adamw"
schedule = "wsd"
learning_rate = 1
warmup_steps = 10
precision = "f32"
recompute = true
beta1 = 0.9
beta2 = 0.95
eps = 1e-08
weight_decay = 0.1
clip_norm = 1
final_learning_rate = 0
decay_share = 0.1
max_bad_steps = 3

[eval]
every_steps = 25
tokens = 2000

[checkpoint]
every_steps = 7
keep_last = 2
keep_every_tokens = 1024

[log]
details_every_steps = 2
)";

class RunConfigFile : public testing::Test {
 protected:
  RunConfigFile() {
    for (const char* phase : {"1", "2"}) {
      folder_.write(fmt::format("mixes/phase-{}.toml", phase), kMix);
      folder_.write(fmt::format("objectives/phase-{}.toml", phase), kObjective);
    }
  }
  RunConfig load(const std::string& text) { return load_run({folder_.write("run.toml", text).string(), "", {}}); }
  /// The run's files, written to a folder and read back.
  RunConfig again(const RunConfig& run) {
    for (const auto& [name, text] : run.resolved) folder_.write("again/" + name, text);
    return load_run({(folder_.path() / "again").string(), "", {}});
  }

  TemporaryFolder folder_;
};

TEST_F(RunConfigFile, OfAnEarlierProgramIsTheSameRun) {
  folder_.write("run.json", "{}");
  const RunConfig run = load(kEarlierRun);
  EXPECT_FALSE(run.names_loss_rows);
  std::string text = kEarlierRun;
  text.insert(text.find("tokens = 15360"), "loss_rows = 2\n");  // A micro-batch's own weights divided its loss.
  EXPECT_EQ(run.resolved.back().second, text);
  EXPECT_EQ(again(run).resolved, run.resolved);
}

TEST_F(RunConfigFile, NamesOnlyTheKeysThatItsReaderNeeds) {
  const std::string text =
      "vocab = \"v.model\"\n[[phase]]\nuntil = 5120\nmix = \"mixes/phase-1.toml\"\n"
      "objective = \"objectives/phase-1.toml\"\n";
  const RunConfig run = load(text);
  for (const char* key : {"vocab_size", "pads_routed", "beta1", "clip_norm", "final_learning_rate", "decay_share",
                          "max_bad_steps", "recompute", "keep_every_tokens", "[log]", "allow_unreadable"})
    EXPECT_THAT(run.resolved.back().second, testing::Not(HasSubstr(key)));
  EXPECT_EQ(again(run).resolved, run.resolved);
  EXPECT_EQ(run.train.tokens, 5120U);
  EXPECT_EQ(run.train.micro_rows, run.train.batch_rows);
  EXPECT_EQ(run.stream.name, "run");
  EXPECT_EQ(run.model.vocab_size, 0);
}

TEST_F(RunConfigFile, IsReadWithPhasesOfOneObjectiveThatAreSetApart) {
  const std::string two = folder_
                              .write("objectives/two.toml",
                                     "layout = \"openmoe\"\ntargets = 64\ninputs = 64\n"
                                     "[[denoiser]]\nname = \"span\"\nshare = 40\nmean_span = 3\nmask_ratio = 0.15\n"
                                     "[[denoiser]]\nname = \"prefix\"\nkind = \"prefix\"\nshare = 60\n")
                              .string();
  const std::string file =
      folder_
          .write("run.toml",
                 fmt::format(
                     "vocab = \"v.model\"\n[[phase]]\nuntil = 5120\nmix = \"mixes/phase-1.toml\"\nobjective = \"{0}\"\n"
                     "[[phase]]\nuntil = 10240\nmix = \"mixes/phase-1.toml\"\nobjective = \"{0}\"\n",
                     two))
          .string();
  const RunConfig run =
      load_run({file,
                "",
                {"phase.0.until=7e3", "phase.0.objective.inputs=128", "phase.1.objective.denoiser.span.share=30",
                 "phase.1.objective.denoiser.1.share=70", "phase.1.mix.corpus.0.max_epochs=2"}});
  EXPECT_EQ(run.stream.phases[0].until, 7000U);
  EXPECT_EQ(run.stream.phases[0].objective.lengths.inputs, 128);
  EXPECT_EQ(run.stream.phases[1].objective.lengths.inputs, 64);
  EXPECT_EQ(run.stream.phases[0].objective.denoisers[0].share, 0.4);
  EXPECT_EQ(run.stream.phases[1].objective.denoisers[0].share, 0.3);
  EXPECT_EQ(run.stream.phases[0].mix.corpora[0].max_epochs, 0);
  EXPECT_EQ(run.stream.phases[1].mix.corpora[0].max_epochs, 2);
  EXPECT_EQ(again(run).resolved, run.resolved);
  EXPECT_EQ(again(run).stream.phases[0].objective.lengths.inputs, 128);
}

constexpr const char* kTwoPhases =
    "vocab = \"v.model\"\n[[phase]]\nuntil = 5120\nmix = \"mixes/phase-1.toml\"\n"
    "objective = \"objectives/phase-1.toml\"\n[[phase]]\nuntil = 10240\nmix = \"mixes/phase-2.toml\"\n"
    "objective = \"objectives/phase-2.toml\"\n";

TEST_F(RunConfigFile, HasKeysByPhaseOverThoseOfTheRunAndNotThoseOfThePhaseBefore) {
  const std::string file =
      folder_
          .write("run.toml", fmt::format("{}[phase.model]\nrouter_z_loss_factor = 1e-3\n"
                                         "[phase.train]\nschedule = \"cosine\"\nlearning_rate = 0.5\n"
                                         "final_learning_rate = 0.1\n[train]\nwarmup_steps = 7\n",
                                         kTwoPhases))
          .string();
  const RunConfig run = load_run({file, "", {"phase.0.model.z_loss_factor=0.25", "phase.1.train.clip_norm=2"}});
  EXPECT_EQ(run.model.router_z_loss_factor, 1e-4);
  EXPECT_EQ(run.phase_model(0).router_z_loss_factor, 1e-4);
  EXPECT_EQ(run.phase_model(0).z_loss_factor, 0.25);
  EXPECT_EQ(run.phase_model(1).router_z_loss_factor, 1e-3);
  EXPECT_EQ(run.phase_model(1).z_loss_factor, 1e-4);
  EXPECT_EQ(run.phase_train(0).schedule, "rsqrt");
  EXPECT_EQ(run.phase_train(1).schedule, "cosine");
  EXPECT_EQ(run.phase_train(1).warmup_steps, 7);
  const std::string& text = run.resolved.back().second;
  EXPECT_THAT(text, HasSubstr("objective = \"objectives/phase-1.toml\"\n\n[phase.model]\nz_loss_factor = 0.25\n\n"
                              "[[phase]]\n"));
  EXPECT_THAT(text, HasSubstr("[phase.model]\nrouter_z_loss_factor = 0.001\n\n[phase.train]\nschedule = \"cosine\"\n"
                              "learning_rate = 0.5\nclip_norm = 2\nfinal_learning_rate = 0.1\n\n[data]\n"));
  EXPECT_EQ(again(run).resolved, run.resolved);
  EXPECT_EQ(again(run).phases, run.phases);
}

TEST_F(RunConfigFile, IsRefusedForAKeyThatCannotChangeByPhase) {
  const std::string file = folder_.write("run.toml", kTwoPhases).string();
  for (const auto& [set, complaint] :
       {std::tuple("phase.1.train.batch_rows=64",
                   "run.toml, --set: [phase.train] batch_rows cannot change by phase; these can: schedule, "
                   "learning_rate, warmup_steps, beta1, beta2, eps, weight_decay, clip_norm, final_learning_rate, "
                   "decay_share"),
        std::tuple("phase.0.model.num_experts=4",
                   "[phase.model] num_experts cannot change by phase; these can: router_aux_loss_factor, "
                   "router_z_loss_factor, z_loss_factor, dropout_rate"),
        std::tuple("phase.0.model.preset=openmoe-8b", "[phase.model] preset cannot change by phase"),
        std::tuple("phase.0.train.learning_rat=1",
                   "learning_rat is not a known key (did you mean \"learning_rate\"?); these can: schedule"),
        std::tuple("phase.1.model.dropout_rate=1", "dropout_rate is 1, expected a number from 0 to 0.99"),
        std::tuple("phase.1.train.beta1=0.5", "[phase.train] beta1 does nothing without optimizer = \"adamw\""),
        std::tuple("phase.1.train.decay_share=0.5", "decay_share does nothing without schedule = \"wsd\""),
        std::tuple("phase.1.train.schedule=constant",
                   "[phase.train] learning_rate is missing: \"rsqrt\" divides it by a root of the steps"),
        std::tuple("phase.1.eval.tokens=5", "[[phase]] eval is not a known key"),
        std::tuple("phase.1.train=5", "[[phase]] train is a number, expected a table [train]")}) {
    try {
      load_run({file, "", {set}});
      ADD_FAILURE() << set;
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr(complaint));
    }
  }
}

TEST_F(RunConfigFile, IsRefusedForASetThatIsWrongInAFileItNames) {
  for (const auto& [set, complaint] :
       {std::tuple("phase.0.objective.denoiser.0.shar=100",
                   "objectives/phase-1.toml, --set: [[denoiser]] shar is not a known key (did you mean \"share\"?)"),
        std::tuple("phase.0.objective.denoiser.0.share=90", "denoiser shares sum to 90 %, expected 100"),
        std::tuple("phase.0.mix.corpus.c.share=0", "mixes/phase-1.toml, --set: [[corpus]] share is 0"),
        std::tuple("phase.0.mix.corpus.4.share=0", "phase.0.mix.corpus has 1 table, 0 (c)"),
        std::tuple("phase.0.objectiv.inputs=3", "[[phase]] objectiv is not a known key (did you mean \"objective\"?)"),
        std::tuple("phas.0.until=3", "phas is not a known key (did you mean \"phase\"?)"),
        std::tuple("vocab.x=3", "vocab is a single value, which has no keys: --set vocab.x=3"),
        std::tuple("train.schedule.x=3", "schedule is a single value, which has no keys: --set train.schedule.x=3")}) {
    const std::string file = folder_
                                 .write("run.toml",
                                        "vocab = \"v.model\"\n[[phase]]\nuntil = 5120\nmix = \"mixes/phase-1.toml\"\n"
                                        "objective = \"objectives/phase-1.toml\"\n[train]\nschedule = \"rsqrt\"\n")
                                 .string();
    try {
      load_run({file, "", {set}});
      ADD_FAILURE() << set;
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr(complaint));
    }
  }
}

TEST_F(RunConfigFile, OutOfRangeIsRefusedByPlaceTableAndRange) {
  for (const auto& [table, line, complaint] :
       {std::tuple("model", "head_dim = 3",
                   "head_dim is 3, expected a whole number from 2 to 1048576, a multiple of 2"),
        std::tuple("model", "num_experts = 257", "num_experts is 257, expected a whole number from 1 to 256"),
        std::tuple("model", "rope_theta = 0", "rope_theta is 0, expected a number from "),
        std::tuple("data", "holdout = 1", "holdout is 1, expected a number from 0 to 1 (1 excluded)"),
        std::tuple("train", "learning_rate = 0",
                   "learning_rate is 0, expected a number from 0 to 3.40282e+38 (0 excluded)"),
        std::tuple("train", "micro_rows = 3", "micro_rows is 3, which does not divide batch_rows = 128"),
        std::tuple("train", "micro_rows = 8\nloss_rows = 12",
                   "loss_rows is 12, expected a multiple of micro_rows = 8 that divides batch_rows = 128"),
        std::tuple("train", "micro_rows = 8\nlanes = 3",
                   "lanes is 3, expected a power of two that divides the 16 micro-batches of a step"),
        std::tuple("train", "micro_rows = 8\nlanes = 8\nexpert_lanes = 4",
                   "expert_lanes is 4, expected a power of two that divides the 2 micro-batches of a lane"),
        std::tuple("train", "beta1 = 0.5", "beta1 does nothing without optimizer = \"adamw\""),
        std::tuple("train", "optimizer = \"adamw\"", "learning_rate is missing"),
        std::tuple("eval", "every_step = 3", "every_step is not a known key (did you mean \"every_steps\"?)")}) {
    const std::string text = fmt::format(
        "vocab = \"v.model\"\n[[phase]]\nuntil = 5120\nmix = \"mixes/phase-1.toml\"\n"
        "objective = \"objectives/phase-1.toml\"\n[{}]\n{}\n",
        table, line);
    try {
      load(text);
      ADD_FAILURE() << line;
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr(fmt::format("[{}] {}", table, complaint)));
      EXPECT_THAT(error.what(), testing::ContainsRegex("/run.toml:[6-9]:1: "));
    }
  }
}

}  // namespace
}  // namespace millrace
