#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

#include "trainer/weights/safetensors.h"

namespace millrace {

struct ModelImport {
  std::filesystem::path source;      ///< config.json with safetensors or PyTorch's files, as transformers saves them.
  std::filesystem::path checkpoint;  ///< Folder to make; it appears when it is complete.
  std::optional<TensorType> type;    ///< f32 or bf16; none: each weight as it is.
};

struct ImportedModel {
  std::uint64_t weights = 0;
  std::uint64_t bytes = 0;  ///< That they take in the new file.
};

/// Is told what is being done, "checking" or "writing", in which unit, how much is done, and of how much. May throw.
using ImportProgress = std::function<void(const char* what, const char* unit, std::uint64_t done, std::uint64_t total)>;

/// Writes a model as a checkpoint: its tensor files, and config.json without what Millrace passes over. PyTorch's
/// files are first compared with their checksums. Throws as load_model_config, WeightFiles, PyTorchFile::check and
/// write_converted do.
ImportedModel import_model(const ModelImport& what, const ImportProgress& progress);

}  // namespace millrace
