#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/checkpoint_saver.h"
#include "trainer/ranked/ranked_backend.h"

namespace millrace {

/// Rank 0's side of a checkpoint that all ranks write (checkpoint_part.h): the same files as CheckpointWriter's, byte
/// for byte. A rank that cannot write its part makes that save void: the outcome's error names it.
class RankedSaver : public CheckpointSaver {
 public:
  /// `hosts`: each rank's. `texts` go along with each checkpoint; `most_bytes` is of a file of tensors.
  RankedSaver(RankedBackend& backend, std::vector<std::string> hosts, std::filesystem::path parent, KeepRule keep,
              CheckpointTexts texts = {}, std::uint64_t most_bytes = kMostTensorBytes);
  /// Asks nothing of other ranks: a save whose outcome was not taken is logged as lost, unless it is being published.
  ~RankedSaver() override;
  RankedSaver(const RankedSaver&) = delete;
  RankedSaver& operator=(const RankedSaver&) = delete;

  void begin(const TrainedParts& parts, const RunIdentity& identity, std::function<void()> before) override;
  /// Asks all ranks how they stand, while they write.
  std::optional<Outcome> poll() override;
  std::optional<Outcome> wait() override;

 private:
  Outcome end(const SaveState& all, UnfinishedCheckpoint& unfinished) const;

  RankedBackend& backend_;
  std::vector<std::string> hosts_;
  std::vector<int> writers_;
  std::filesystem::path parent_;
  KeepRule keep_;
  CheckpointTexts texts_;
  std::uint64_t most_bytes_;
  Clock::time_point start_;
  std::uint64_t step_ = 0;
  std::unique_ptr<UnfinishedCheckpoint> unfinished_;  ///< While ranks write.
  std::future<Outcome> publishing_;                   ///< Afterwards.
};

}  // namespace millrace
