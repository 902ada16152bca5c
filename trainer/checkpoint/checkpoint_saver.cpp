#include "trainer/checkpoint/checkpoint_saver.h"

#include <exception>

namespace millrace {

CheckpointSaver::Outcome CheckpointSaver::ended(std::uint64_t step, Clock::time_point start, const KeepRule& keep,
                                                const std::function<std::filesystem::path()>& publish) {
  Outcome outcome;
  outcome.step = step;
  try {
    outcome.folder = publish();
  } catch (const std::exception& error) {
    outcome.error = error.what();
    return outcome;
  }
  try {
    prune_checkpoints(outcome.folder.parent_path(), keep);
  } catch (const std::exception& error) {
    outcome.warning = error.what();
  }
  outcome.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return outcome;
}

}  // namespace millrace
