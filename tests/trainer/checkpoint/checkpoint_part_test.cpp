#include "trainer/checkpoint/checkpoint_part.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "model/cpu/cpu_device.h"
#include "stages/errors.h"
#include "tests/trainer/floats.h"
#include "tests/trainer/full_disk.h"
#include "tests/trainer/loop/train_loop_fixture.h"
#include "trainer/backend/local_backend.h"
#include "trainer/checkpoint/checkpoint.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using State = PartReport::State;

/// A model whose tensors are owned by ranks in turn; they save it together, each in a thread of its own.
class CheckpointPartTest : public TrainLoopTest {
 protected:
  CheckpointPartTest() {
    state_.step = 7;
    float number = 0;
    for (const Parameter& parameter : backend_.parameters().all)
      for (float& value : floats_of(parameter.value)) value = number += 0.3F;
    for (const StateTensor& tensor : backend_.optimizer().state())
      for (float& value : floats_of(tensor.data)) value = number += 0.7F;
    copy_.take({config_, backend_, unigram_, state_}, RunIdentity{});
    files_ = checkpoint_files(copy_.parameters(), copy_.optimizer(), kMost);
    for (TensorFile& file : files_)
      for (TensorView& tensor : file.tensors) tensor.data = nullptr;
    for (int rank = 0; rank < 4; ++rank) hosts_.push_back(fmt::format("node{}", rank));
  }

  const TensorView& value_of(std::size_t file, std::size_t tensor) const {
    const std::vector<TensorFile> all = checkpoint_files(copy_.parameters(), copy_.optimizer(), kMost);
    const std::string& name = all[file].tensors[tensor].name;
    for (const std::vector<TensorView>* some : {&copy_.parameters(), &copy_.optimizer()})
      for (const TensorView& view : *some)
        if (view.name == name && view.data == all[file].tensors[tensor].data) return view;
    throw std::logic_error(name);
  }

  std::vector<std::unique_ptr<CheckpointPart>> parts_of(int ranks) {
    std::vector<std::unique_ptr<CheckpointPart>> parts;
    for (int rank = 0; rank < ranks; ++rank) parts.push_back(std::make_unique<CheckpointPart>(files_, rank, ranks));
    for (std::size_t file = 0; file < files_.size(); ++file) {
      CheckpointPart& writer = *parts[static_cast<std::size_t>(writer_of(file, ranks))];
      for (std::size_t tensor = 0; tensor < files_[file].tensors.size(); ++tensor) {
        const std::span<std::byte> there = writer.memory_of(file, tensor);
        std::memcpy(there.data(), value_of(file, tensor).data, there.size());
      }
    }
    return parts;
  }

  /// What all say after they have begun to save into this folder, and ended.
  std::vector<PartReport> save(const std::vector<std::unique_ptr<CheckpointPart>>& parts, const fs::path& folder) {
    std::vector<PartReport> reports(parts.size());
    std::vector<std::thread> ranks;
    for (std::size_t rank = 0; rank < parts.size(); ++rank)
      ranks.emplace_back([&, rank] {
        const auto record = [&] { write_record(folder, copy_.record(), files_, {{"more.json", "{}"}}); };
        parts[rank]->begin(
            folder, state_.step, rank == 0 ? std::function<void()>(record) : [] {});
        reports[rank] = report_in(report_text(parts[rank]->wait()));
      });
    for (std::thread& rank : ranks) rank.join();
    return reports;
  }

  static constexpr std::uint64_t kMost = 4096;
  ModelConfig config_ = tiny_model();
  LocalBackend backend_{std::make_unique<CpuDevice>(Precision::f32), config_, TrainConfig()};
  UnigramCounts unigram_{config_.vocab_size};
  TrainState state_;
  CheckpointCopy copy_;
  std::vector<TensorFile> files_;
  std::vector<std::string> hosts_;
};

TEST_F(CheckpointPartTest, AnyNumberOfRanksWritesTheFilesOfOneProcess) {
  ASSERT_GT(files_.size(), 5U);
  const fs::path whole = save_checkpoint(folder_.path() / "whole", copy_, {{"more.json", "{}"}}, kMost);
  for (const int ranks : {1, 2, 3, 4}) {
    UnfinishedCheckpoint unfinished(folder_.path() / std::to_string(ranks), copy_.record().place());
    const SaveState done = state_of_save(state_.step, save(parts_of(ranks), unfinished.folder()), hosts_);
    EXPECT_FALSE(done.is_busy);
    EXPECT_EQ(done.failure, "");
    EXPECT_EQ(done.files.size(), files_.size());
    const fs::path folder = unfinished.publish(done.files);
    EXPECT_EQ(damage_of(folder), "");
    std::ptrdiff_t files = 0;
    for (const fs::directory_entry& entry : fs::directory_iterator(whole)) {
      EXPECT_EQ(text_of(folder / entry.path().filename()), text_of(entry.path())) << entry.path();
      ++files;
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), files);
  }
}

TEST_F(CheckpointPartTest, OneFullDiskMakesThatSaveVoidAndTheNextOneIsGood) {
  const std::vector<std::unique_ptr<CheckpointPart>> parts = parts_of(4);
  const auto bytes_in = [](const TensorFile& file) {
    std::uint64_t bytes = 0;
    for (const TensorView& tensor : file.tensors) bytes += tensor.bytes();
    return bytes;
  };
  const auto largest = std::ranges::max_element(files_, {}, bytes_in);
  const int writer = writer_of(static_cast<std::size_t>(largest - files_.begin()), 4);
  const fs::path parent = folder_.path() / "checkpoints";
  {
    UnfinishedCheckpoint unfinished(parent, copy_.record().place());
    const FullDisk disk(bytes_in(*largest));  // What stands before the tensors is too much.
    const std::vector<PartReport> reports = save(parts, unfinished.folder());
    const SaveState state = state_of_save(state_.step, reports, hosts_);
    EXPECT_FALSE(state.is_busy);
    EXPECT_THAT(state.failure,
                HasSubstr(fmt::format("rank {} (node{}): {}", writer, writer, unfinished.folder().string())));
    EXPECT_THAT(state.failure, AllOf(HasSubstr("make room there"), Not(HasSubstr("ranks more"))));
    EXPECT_TRUE(state.files.empty());
    EXPECT_EQ(std::ranges::count(reports, State::failed, &PartReport::state), 1);
  }
  EXPECT_TRUE(fs::is_empty(parent)) << "no half folder is left";
  UnfinishedCheckpoint again(parent, copy_.record().place());
  const SaveState state = state_of_save(state_.step, save(parts, again.folder()), hosts_);
  EXPECT_EQ(state.failure, "");
  EXPECT_EQ(damage_of(again.publish(state.files)), "");
}

TEST_F(CheckpointPartTest, IsBusyUntilAllAreDoneAndThenNamesTheFirstThatFailed) {
  const PartReport done{State::done, 7, {{"model.safetensors", 5, "00"}}, ""};
  const PartReport failed{State::failed, 7, {}, "/runs/x: cannot write"};
  const PartReport busy{State::busy, 7, {}, ""};
  const PartReport earlier{State::done, 6, {}, ""};
  EXPECT_TRUE(state_of_save(7, {done, busy}, hosts_).is_busy);
  EXPECT_TRUE(state_of_save(7, {failed, busy}, hosts_).is_busy);
  EXPECT_TRUE(state_of_save(7, {done, earlier}, hosts_).is_busy);
  EXPECT_TRUE(state_of_save(7, {done, PartReport()}, hosts_).is_busy);
  EXPECT_EQ(state_of_save(7, {done, done}, hosts_).files.size(), 2U);
  EXPECT_EQ(state_of_save(7, {done, failed, done}, hosts_).failure, "rank 1 (node1): /runs/x: cannot write");
  EXPECT_EQ(state_of_save(7, {failed, done, failed, failed}, hosts_).failure,
            "rank 0 (node0): /runs/x: cannot write, and 2 ranks more");
  EXPECT_THROW((void)report_in("{\"state\":\"asleep\",\"step\":1,\"files\":[],\"error\":\"\"}"), ConfigError);
}

TEST_F(CheckpointPartTest, WhatFailsBeforeWritingFailsThePart) {
  CheckpointPart part(files_, 0, 1);
  EXPECT_EQ(part.report().state, State::idle);
  part.begin(folder_.path(), 7, [] { throw std::runtime_error("cannot sync"); });
  EXPECT_EQ(part.wait().error, "cannot sync");
  EXPECT_EQ(part.report().state, State::failed);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

}  // namespace
}  // namespace millrace
