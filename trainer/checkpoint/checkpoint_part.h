#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "trainer/checkpoint/file_sum.h"
#include "trainer/weights/tensor_files.h"

namespace millrace {

/// A checkpoint that several ranks write together, in what each does by itself. All cut it into the same files, and
/// agree by their numbers. Where a save is due,
///   rank 0    makes an UnfinishedCheckpoint (checkpoint_folder.h) and tells all its folder;
///   owners    send the bytes of their tensors to the files' writers, who put them into their CheckpointPart;
///   writers   begin() to write while training goes on; rank 0 does write_record() (checkpoint.h) in `first`;
///   all       tell rank 0 their report() with each step's results;
///   rank 0    publishes the folder with the sums it was told, or removes it: state_of_save().

/// The files of tensors that a checkpoint consists of, the model's, then the optimizer's: a function of names, shapes
/// and types alone, whoever asks.
std::vector<TensorFile> checkpoint_files(const std::vector<TensorView>& parameters,
                                         const std::vector<TensorView>& optimizer,
                                         std::uint64_t most_bytes = kMostTensorBytes);

/// The rank that writes a file of checkpoint_files().
inline int writer_of(std::size_t file, int ranks) {
  return static_cast<int>(file % static_cast<std::size_t>(ranks));
}

/// What a rank says of the files that it writes.
struct PartReport {
  enum class State : std::uint8_t { idle, busy, done, failed };
  State state = State::idle;
  std::uint64_t step = 0;      ///< Of the checkpoint.
  std::vector<FileSum> files;  ///< When it is done.
  std::string error;           ///< Why it failed: "PATH: cannot write; make room there: No space left on device".
};
/// As a text that travels with other results. Throws ConfigError if it is none.
std::string report_text(const PartReport& report);
PartReport report_in(const std::string& text);

/// The files of a checkpoint that one of several ranks writes: it takes their tensors' bytes from those who own them,
/// then writes, syncs and sums up on a thread of its own, which asks nothing of other ranks. Its memory, of its files'
/// size, is allocated once and reused. All functions belong to one thread, the trainer's.
class CheckpointPart {
 public:
  /// `files`: all of checkpoint_files(), by which ranks agree about file and tensor numbers.
  CheckpointPart(std::vector<TensorFile> files, int rank, int ranks);
  ~CheckpointPart();  ///< Waits.
  CheckpointPart(const CheckpointPart&) = delete;
  CheckpointPart& operator=(const CheckpointPart&) = delete;

  const std::vector<TensorFile>& files() const { return files_; }
  /// Where the bytes of a tensor of a file go that this rank writes. REQUIRES: not busy.
  std::span<std::byte> memory_of(std::size_t file, std::size_t tensor);
  /// Starts writing the files, as they are in memory, into a folder that is there; `first` is called before, on the
  /// writing thread, and fails the part if it throws. REQUIRES: not busy.
  void begin(
      const std::filesystem::path& folder, std::uint64_t step, std::function<void()> first = [] {});
  /// How it stands. Never waits; done and failed stay until the next begin().
  const PartReport& report();
  const PartReport& wait();  ///< Until it is not busy.

 private:
  PartReport write(const std::filesystem::path& folder, std::uint64_t step, const std::function<void()>& first) const;

  std::vector<TensorFile> files_;  ///< Of those that are this rank's, the tensors lie in memory_.
  std::vector<std::size_t> own_;
  std::unique_ptr<std::byte[]> memory_;
  PartReport report_;
  std::future<PartReport> writing_;
};

/// How a save by several ranks stands, by what all of them said of its step.
struct SaveState {
  bool is_busy = false;        ///< Somebody still writes.
  std::vector<FileSum> files;  ///< Of all ranks, when all are done.
  std::string failure;         ///< "rank 12 (node2): PATH: ..., and 2 ranks more"; then the save is void.
};
/// `hosts`: each rank's, by number. A rank that has not heard of the step is busy. A failure counts when nobody is
/// busy: only then may the folder be removed.
SaveState state_of_save(std::uint64_t step, const std::vector<PartReport>& reports,
                        const std::vector<std::string>& hosts);

}  // namespace millrace
