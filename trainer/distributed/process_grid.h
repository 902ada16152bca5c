#pragma once

#include <string>

#include "model/config/model_config.h"
#include "trainer/config/grid_config.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// Reads "data=4,expert=8" on top of `wish`. Throws ConfigError naming `where` and what was expected.
GridWish parse_grid(const std::string& text, const std::string& where, GridWish wish = {});

/// The arrangement of ranks: data x expert x tensor x pipeline of them. It changes no bit, but through `tensor`.
struct ProcessGrid {
  int data = 1;      ///< Groups that compute whole lanes.
  int expert = 1;    ///< Replicas of a group, each with its part of the experts and of a lane's micro-batches.
  int tensor = 1;    ///< Ranks that share a stage.
  int pipeline = 1;  ///< Stages of a replica.

  /// Where a rank stands: tensor changes fastest, then expert, data, and pipeline slowest, so that those that talk most
  /// are nearest.
  struct Place {
    int data = 0;
    int expert = 0;
    int tensor = 0;
    int pipeline = 0;
    bool operator==(const Place&) const = default;
  };
  int ranks() const { return data * expert * tensor * pipeline; }
  int replicas() const { return data * expert; }
  Place place(int rank) const;
  int rank(const Place& place) const;
  std::string text() const;  ///< "data 4 x expert 8 x tensor 1 x pipeline 1"
  bool operator==(const ProcessGrid&) const = default;
};

/// The grid of so many ranks. Throws ConfigError saying what does not fit, and the nearest that does: a product that is
/// not the number of ranks; widths that the run's lanes, micro-batches, experts or layers do not allow.
ProcessGrid process_grid(const GridWish& wish, int ranks, const ModelConfig& model, const TrainConfig& train);

/// What of a grid this program cannot do yet; empty: nothing.
std::string fault_of_grid(const ProcessGrid& grid);

/// What a grid wastes in its pipeline, and what wastes less; empty: little.
std::string bubble_warning(const ProcessGrid& grid, const TrainConfig& train);

}  // namespace millrace
