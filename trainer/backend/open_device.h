#pragma once

#include <memory>
#include <string>

#include "model/config/model_config.h"
#include "model/device/device.h"

namespace millrace {

/// The device that is named: "cpu", "cuda" or "auto". Throws ConfigError, naming `where`, for another word, and with
/// the reason where there is no card.
std::unique_ptr<Device> open_device(const std::string& name, Precision precision, const std::string& where);

/// Throws ConfigError, saying what to take instead, for what the device cannot compute of the model.
void refuse_what_it_cannot(const Device& device, const ModelConfig& model);

}  // namespace millrace
