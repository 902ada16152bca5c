#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "trainer/weights/safetensors.h"

namespace millrace {

struct HuggingFaceExport {
  std::filesystem::path checkpoint;
  std::filesystem::path vocabulary;   ///< A .model file; empty: no tokenizer is written.
  std::filesystem::path folder;       ///< Appears when it is complete; an older one of that name is replaced.
  TensorType type = TensorType::f32;  ///< Of the weights: f32 or bf16.
};

/// Writes a model that transformers opens with trust_remote_code: config.json, model.safetensors,
/// generation_config.json, configuration_openmoe.py, modeling_openmoe.py, the tokenizer, and README.md, the model card.
/// A bf16 weight is the nearest one, ties to even. `written` is told the number of weights written so far, and may
/// throw. Throws as WeightFiles and hugging_face_tokenizer do.
void export_hugging_face(const HuggingFaceExport& what, const std::function<void(std::uint64_t)>& written);

}  // namespace millrace
