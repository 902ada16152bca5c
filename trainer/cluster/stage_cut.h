#pragma once

#include <vector>

#include "model/config/model_config.h"
#include "model/parameters/parameter_spec.h"

namespace millrace {

/// Operations of the matrix products of each layer for one position (model/cost/flops.h): the last one's with the head.
/// Every position is taken to lie in a segment of `length`, and to have so much of a loss; each expert to be full.
std::vector<double> layer_operations(const ModelConfig& config, int length, double loss_share);

/// Consecutive layers for each stage, so that the most work of a stage is the least possible; of equal cuts, the one
/// whose first stages have the most layers. A pure function. REQUIRES: from 1 to as many stages as layers.
std::vector<LayerRange> cut_layers(const std::vector<double>& operations, int stages);

}  // namespace millrace
