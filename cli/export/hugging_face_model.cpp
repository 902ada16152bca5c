#include "cli/export/hugging_face_model.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "cli/console/embedded_text.h"
#include "cli/export/model_card.h"
#include "model/bf16.h"
#include "model/parameters/parameter_spec.h"
#include "pipeline/formats/hugging_face_tokenizer.h"
#include "pipeline/json_text.h"
#include "stages/io/atomic_file.h"
#include "stages/io/output_file.h"
#include "stages/tokenizer/vocabulary_file.h"
#include "trainer/weights/model_json.h"
#include "trainer/weights/weight_files.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kPiece = 1 << 20;

std::string config_json(const ModelConfig& config, TensorType type) {
  Json json = Json::parse(model_config_json(config));
  json["model_type"] = "openmoe";
  json["auto_map"] = {{"AutoConfig", "configuration_openmoe.OpenMoeConfig"},
                      {"AutoModelForCausalLM", "modeling_openmoe.OpenMoeForCausalLM"}};
  json["torch_dtype"] = type == TensorType::bf16 ? "bfloat16" : "float32";
  json.erase("rope_scaling");  // null: transformers 5 warns of it.
  return json_page(json);
}

std::string generation_config_json() {
  return json_page({{"bos_token_id", 0}, {"eos_token_id", 1}, {"pad_token_id", 0}});
}

/// Elements `first` to `first + count` of a tensor.
TensorView part_of(const TensorView& tensor, std::int64_t first, std::int64_t count) {
  return {tensor.name, tensor.type, {count}, tensor.data + static_cast<std::size_t>(first) * size_of(tensor.type)};
}

void write_weights(const fs::path& file, const ModelConfig& config, const fs::path& checkpoint, TensorType type,
                   const std::function<void(std::uint64_t)>& written) {
  const WeightFiles weights(checkpoint);
  std::map<std::string, TensorView> stored;
  std::vector<TensorView> tensors;
  for (const TensorView& tensor : weights.tensors_of(parameter_specs(config))) {
    stored.emplace(tensor.name, tensor);
    tensors.push_back({tensor.name, type, tensor.shape, nullptr});
  }
  std::uint64_t done = 0;
  std::vector<float> values;
  std::vector<Bf16> images;
  write_safetensors(file, std::move(tensors), {{"format", "pt"}}, [&](const TensorView& tensor, AtomicFile& out) {
    const TensorView& from = stored.at(tensor.name);
    for (std::int64_t first = 0; first < from.elements(); first += kPiece) {
      const TensorView part = part_of(from, first, std::min(kPiece, from.elements() - first));
      if (part.type == type) {
        out.write(part.data, part.bytes());
      } else {
        values.resize(static_cast<std::size_t>(part.elements()));
        copy_as_f32(part, values.data());
        if (type == TensorType::f32) {
          out.write(values.data(), values.size() * sizeof(float));
        } else {
          images.clear();
          for (const float value : values) images.push_back(rounded(value));
          out.write(images.data(), images.size() * sizeof(Bf16));
        }
      }
      written(done += static_cast<std::uint64_t>(part.elements()));
    }
  });
}

}  // namespace

void export_hugging_face(const HuggingFaceExport& what, const std::function<void(std::uint64_t)>& written) {
  const ModelConfig config = load_model_config(what.checkpoint);
  std::optional<HuggingFaceTokenizer> tokenizer;
  if (!what.vocabulary.empty())
    tokenizer = hugging_face_tokenizer(read_vocabulary_bytes(what.vocabulary), what.vocabulary.string(),
                                       config.max_position_embeddings);
  AtomicFolder folder(what.folder);
  write_weights(folder.path() / "model.safetensors", config, what.checkpoint, what.type, written);
  write_file_atomically(folder.path() / "config.json", config_json(config, what.type));
  write_file_atomically(folder.path() / "generation_config.json", generation_config_json());
  for (const char* name : {"configuration_openmoe.py", "modeling_openmoe.py"})
    write_file_atomically(folder.path() / name, embedded_text(name));
  if (tokenizer) write_hugging_face_tokenizer(*tokenizer, folder.path());
  write_file_atomically(folder.path() / "README.md", model_card(what.checkpoint, config, tokenizer.has_value()));
  folder.publish();
}

}  // namespace millrace
