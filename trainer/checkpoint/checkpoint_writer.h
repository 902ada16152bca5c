#pragma once

#include <filesystem>
#include <functional>
#include <future>
#include <optional>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/checkpoint/checkpoint_saver.h"

namespace millrace {

/// Saves what this process alone trains: from a copy, whose memory is reused, on a thread of its own.
class CheckpointWriter : public CheckpointSaver {
 public:
  /// `texts` go along with each.
  CheckpointWriter(std::filesystem::path parent, KeepRule keep, CheckpointTexts texts = {});
  ~CheckpointWriter() override;  ///< Waits, and logs a failed save whose outcome was not taken.
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  void begin(const TrainedParts& parts, const RunIdentity& identity, std::function<void()> before) override;
  std::optional<Outcome> poll() override;
  std::optional<Outcome> wait() override;

 private:
  Outcome write(const std::function<void()>& before) const;

  std::filesystem::path parent_;
  KeepRule keep_;
  CheckpointTexts texts_;
  CheckpointCopy copy_;
  std::future<Outcome> writing_;
};

}  // namespace millrace
