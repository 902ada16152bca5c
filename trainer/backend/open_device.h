#pragma once

#include <memory>
#include <string>

#include "model/config/model_config.h"
#include "model/device/device.h"
#include "trainer/config/train_config.h"

namespace millrace {

/// The device that is named: "cpu", "cuda" or "auto". Throws ConfigError, naming `where`, for another word, and with
/// the reason where there is no card.
std::unique_ptr<Device> open_device(const std::string& name, const DeviceSettings& settings, const std::string& where);

/// Throws ConfigError, saying what to take instead, for what the device cannot compute of the model.
void refuse_what_it_cannot(const Device& device, const ModelConfig& model);

/// Likewise for what it cannot train, in micro-batches of rows of `length`. A card may take a second to tell.
void refuse_what_it_cannot_train(Device& device, const ModelConfig& model, const TrainConfig& train, int length);

/// The settings of the device that a run computes on.
DeviceSettings device_settings(const TrainConfig& train);

}  // namespace millrace
