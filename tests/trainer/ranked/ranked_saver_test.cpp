#include "trainer/ranked/ranked_saver.h"

#include <algorithm>
#include <filesystem>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/temporary_folder.h"
#include "tests/trainer/file_text.h"
#include "tests/trainer/floats.h"
#include "tests/trainer/full_disk.h"
#include "tests/trainer/ranked/ranked_kinds.h"
#include "trainer/backend/local_backend.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> nodes(int ranks) {
  std::vector<std::string> hosts;
  for (int rank = 0; rank < ranks; ++rank) hosts.push_back(fmt::format("node{}", rank));
  return hosts;
}

/// Another number in each place of values and state.
void fill(TrainingBackend& backend, float first) {
  float number = first;
  for (const Parameter& parameter : backend.parameters().all)
    for (float& value : floats_of(parameter.value)) value = number += 0.25F;
  for (const StateTensor& tensor : backend.optimizer().state())
    for (float& value : floats_of(tensor.data)) value = number += 0.25F;
  backend.values_changed();
}

/// A model that ranks train, and its checkpoints, of which each file holds little.
class RankedSaverTest : public testing::Test {
 protected:
  RankedSaverTest() { state_.step = 7; }

  TrainedParts parts(TrainingBackend& backend, const Kind& kind) {
    unigram_ = UnigramCounts(kind.model.vocab_size);
    return {kind.model, backend, unigram_, state_};
  }
  fs::path parent(const std::string& name) const { return folder_.path() / name; }
  /// What one process saves of the same numbers.
  fs::path save_alone(const Kind& kind, float first) {
    LocalBackend backend(device_for(kind.train), kind.model, kind.train);
    fill(backend, first);
    CheckpointCopy copy;
    copy.take(parts(backend, kind), RunIdentity{});
    return save_checkpoint(parent("alone-" + kind.name), copy, {{"more.json", "{}"}}, most_);
  }
  /// Ranks with these numbers, and their saver.
  void with_saver(const ProcessGrid& grid, const Kind& kind, const fs::path& parent,
                  const std::function<void(RankedBackend&, RankedSaver&)>& work) {
    with_backend(grid, kind, [&](RankedBackend& backend) {
      fill(backend, 1);
      RankedSaver saver(backend, nodes(grid.ranks()), parent, KeepRule{}, {{"more.json", "{}"}}, most_);
      work(backend, saver);
    });
  }
  static void expect_the_same_files(const fs::path& folder, const fs::path& expected) {
    std::ptrdiff_t files = 0;
    for (const fs::directory_entry& entry : fs::directory_iterator(expected)) {
      EXPECT_EQ(text_of(folder / entry.path().filename()), text_of(entry.path())) << entry.path();
      ++files;
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), files);
  }

  std::uint64_t most_ = 1 << 15;  ///< Bytes of a file.
  TemporaryFolder folder_;
  UnigramCounts unigram_{1};
  TrainState state_;
};

TEST_F(RankedSaverTest, AnyGridWritesTheFilesOfOneProcess) {
  for (const char* optimizer : {"adafactor", "adamw"}) {
    const Kind kind = spread(optimizer, [&](ModelConfig&, TrainConfig& train) { train.optimizer = optimizer; });
    const fs::path alone = save_alone(kind, 1);
    ASSERT_FALSE(fs::exists(alone / "model.safetensors")) << "it is cut";
    for (const ProcessGrid& grid : std::vector<ProcessGrid>{
             {.data = 2}, {.data = 4}, {.expert = 4}, {.pipeline = 2}, {.data = 2, .expert = 2, .pipeline = 2}}) {
      SCOPED_TRACE(std::string(optimizer) + ": " + grid.text());
      with_saver(grid, kind, parent(optimizer + grid.text()), [&](RankedBackend& backend, RankedSaver& saver) {
        saver.begin(parts(backend, kind), RunIdentity{}, [] {});
        const auto outcome = saver.wait();
        ASSERT_TRUE(outcome);
        EXPECT_EQ(outcome->error, "");
        EXPECT_EQ(outcome->folder, checkpoint_path(parent(optimizer + grid.text()), 7));
        EXPECT_EQ(damage_of(outcome->folder), "");
        expect_the_same_files(outcome->folder, alone);
        EXPECT_FALSE(saver.wait()) << "once";
      });
    }
  }
}

TEST_F(RankedSaverTest, SavesWhatWasThereWhenItBegan) {
  const Kind kind = spread("adafactor");
  const fs::path alone = save_alone(kind, 1);
  std::promise<void> go;
  with_saver({.data = 2, .pipeline = 2}, kind, parent("ranks"), [&](RankedBackend& backend, RankedSaver& saver) {
    saver.begin(parts(backend, kind), RunIdentity{}, [&] { go.get_future().wait(); });
    EXPECT_FALSE(saver.poll()) << "it is being written";
    fill(backend, 100);
    EXPECT_FALSE(fs::exists(checkpoint_path(parent("ranks"), 7)));
    go.set_value();
    expect_the_same_files(saver.wait()->folder, alone);
    state_.step = 8;
    saver.begin(parts(backend, kind), RunIdentity{}, [] {});
    const auto outcome = saver.wait();
    EXPECT_NE(text_of(outcome->folder / "manifest.json"), text_of(alone / "manifest.json"));
    EXPECT_EQ(damage_of(outcome->folder), "");
  });
  EXPECT_THAT(checkpoint_steps(parent("ranks")), ElementsAre(7, 8));
}

TEST_F(RankedSaverTest, OneFullDiskMakesThatSaveVoidAndTheNextOneIsGood) {
  // A file of the model's tensors, and a larger one of the optimizer's, which rank 1 writes.
  const Kind kind = spread("adamw", [](ModelConfig&, TrainConfig& train) { train.optimizer = "adamw"; });
  const std::vector<std::uint64_t> bytes = bytes_of_writers(parameter_specs(kind.model), kind.train, 4);
  ASSERT_THAT(bytes, ElementsAre(bytes[0], 2 * bytes[0], 0, 0));
  most_ = kMostTensorBytes;
  with_saver({.data = 4}, kind, parent("ranks"), [&](RankedBackend& backend, RankedSaver& saver) {
    {
      const FullDisk disk(bytes[1]);  // What stands before the tensors is too much.
      saver.begin(parts(backend, kind), RunIdentity{}, [] {});
      const auto outcome = saver.wait();
      EXPECT_EQ(outcome->step, 7U);
      EXPECT_THAT(outcome->error,
                  AllOf(HasSubstr("rank 1 (node1): "), HasSubstr("make room there"), Not(HasSubstr("ranks more"))));
    }
    EXPECT_TRUE(fs::is_empty(parent("ranks"))) << "no half folder is left";
    saver.begin(parts(backend, kind), RunIdentity{}, [] {});
    const auto outcome = saver.wait();
    EXPECT_EQ(outcome->error, "");
    EXPECT_EQ(damage_of(outcome->folder), "");
  });
}

TEST_F(RankedSaverTest, SavesNothingIfTheLogsCannotBeMadeToLast) {
  const Kind kind = spread("adafactor");
  with_saver({.data = 2}, kind, parent("ranks"), [&](RankedBackend& backend, RankedSaver& saver) {
    saver.begin(parts(backend, kind), RunIdentity{}, [] { throw std::runtime_error("cannot sync"); });
    EXPECT_EQ(saver.wait()->error, "rank 0 (node0): cannot sync");
  });
  EXPECT_TRUE(fs::is_empty(parent("ranks")));
}

TEST_F(RankedSaverTest, WhatIsNotWaitedForIsNotThere) {
  const Kind kind = spread("adafactor");
  with_saver({.data = 2}, kind, parent("ranks"), [&](RankedBackend& backend, RankedSaver& saver) {
    saver.begin(parts(backend, kind), RunIdentity{}, [] {});
  });
  EXPECT_THAT(checkpoint_steps(parent("ranks")), IsEmpty());
}

TEST_F(RankedSaverTest, AllLookForDamageAndOneFindsIt) {
  const Kind kind = spread("adafactor");
  const fs::path alone = save_alone(kind, 1);
  with_backend({.data = 4}, kind, [&](RankedBackend& backend) {
    EXPECT_EQ(backend.damage_of_checkpoint(alone), "");
    int files = 0;
    for (const fs::directory_entry& entry : fs::directory_iterator(alone)) {
      const std::string name = entry.path().filename().string();
      if (name == kClockFile || name == "manifest.json") continue;
      const std::string good = text_of(entry.path());
      std::string bad = good;
      bad.back() = static_cast<char>(bad.back() ^ 1);
      write_text(entry.path(), bad);
      EXPECT_EQ(backend.damage_of_checkpoint(alone), name + " is damaged: its checksum is not the manifest's");
      write_text(entry.path(), good);
      ++files;
    }
    EXPECT_GT(files, 8) << "each rank has several";
    fs::remove(alone / "manifest.json");
    EXPECT_EQ(backend.damage_of_checkpoint(alone), "manifest.json is missing");
  });
}

TEST(RankSave, SpreadsFilesOverMachinesFirst) {
  EXPECT_THAT(writers_by_machine({"a", "a", "a", "b", "b", "c"}), ElementsAre(0, 3, 5, 1, 4, 2));
  EXPECT_THAT(writers_by_machine({"a", "b", "a", "b"}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(writers_by_machine({"a"}), ElementsAre(0));
}

TEST(RankSave, OrdersComeOutAsTheyWentIn) {
  const SharedSave save{"/runs/mine/checkpoints/.unfinished-step-000007", 7, {0, 2, 1}, 1000};
  const SharedSave read = save_in(text_of_save(save));
  EXPECT_EQ(read.folder, save.folder);
  EXPECT_EQ(read.step, save.step);
  EXPECT_EQ(read.writers, save.writers);
  EXPECT_EQ(read.most_bytes, save.most_bytes);
}

}  // namespace
}  // namespace millrace
