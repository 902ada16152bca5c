#include "trainer/loop/train_setup.h"

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {

std::uint64_t TrainSetup::steps_in(std::uint64_t positions) const {
  return positions / (static_cast<std::uint64_t>(train.batch_rows) * static_cast<std::uint64_t>(sequence_length));
}

TrainSetup checked(TrainSetup setup) {
  TrainConfig& train = setup.train;
  if (train.batch_rows < 1)
    throw ConfigError(fmt::format("train.batch_rows is {}, expected at least 1", train.batch_rows));
  if (train.micro_rows == 0) train.micro_rows = train.batch_rows;
  if (train.micro_rows < 1 || train.batch_rows % train.micro_rows != 0) {
    throw ConfigError(fmt::format("train.micro_rows is {}, expected a divisor of train.batch_rows = {}",
                                  train.micro_rows, train.batch_rows));
  }
  if (train.loss_rows == 0) train.loss_rows = train.batch_rows;
  if (train.batch_rows % train.loss_rows != 0 || train.loss_rows % train.micro_rows != 0) {
    throw ConfigError(
        fmt::format("train.loss_rows is {}, expected a multiple of train.micro_rows = {} that divides batch_rows = {}",
                    train.loss_rows, train.micro_rows, train.batch_rows));
  }
  if (setup.phases.empty()) setup.phases.resize(setup.denoisers.size(), {setup.model, setup.train});
  return setup;
}

}  // namespace millrace
