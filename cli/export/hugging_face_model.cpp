#include "cli/export/hugging_face_model.h"

#include <optional>
#include <vector>

#include "cli/console/embedded_text.h"
#include "cli/export/model_card.h"
#include "model/parameters/parameter_spec.h"
#include "pipeline/formats/hugging_face_tokenizer.h"
#include "pipeline/json_text.h"
#include "stages/io/atomic_file.h"
#include "stages/io/output_file.h"
#include "stages/tokenizer/vocabulary_file.h"
#include "trainer/weights/converted_weights.h"
#include "trainer/weights/model_json.h"
#include "trainer/weights/weight_files.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::string config_json(const ModelConfig& config, TensorType type) {
  Json json = Json::parse(model_config_json(config, type));
  json["model_type"] = "openmoe";
  json["auto_map"] = {{"AutoConfig", "configuration_openmoe.OpenMoeConfig"},
                      {"AutoModelForCausalLM", "modeling_openmoe.OpenMoeForCausalLM"}};
  json.erase("rope_scaling");  // null: transformers 5 warns of it.
  return json_page(json);
}

std::string generation_config_json() {
  return json_page({{"bos_token_id", 0}, {"eos_token_id", 1}, {"pad_token_id", 0}});
}

}  // namespace

void export_hugging_face(const HuggingFaceExport& what, const std::function<void(std::uint64_t)>& written) {
  const ModelConfig config = load_model_config(what.checkpoint);
  std::optional<HuggingFaceTokenizer> tokenizer;
  if (!what.vocabulary.empty())
    tokenizer = hugging_face_tokenizer(read_vocabulary_bytes(what.vocabulary), what.vocabulary.string(),
                                       config.max_position_embeddings);
  const WeightFiles weights(what.checkpoint);
  const std::vector<TensorView> tensors = weights.tensors_of(parameter_specs(config));
  AtomicFolder folder(what.folder);
  write_converted(folder.path(), tensors, what.type, written);
  write_file_atomically(folder.path() / "config.json", config_json(config, what.type));
  write_file_atomically(folder.path() / "generation_config.json", generation_config_json());
  for (const char* name : {"configuration_openmoe.py", "modeling_openmoe.py"})
    write_file_atomically(folder.path() / name, embedded_text(name));
  if (tokenizer) write_hugging_face_tokenizer(*tokenizer, folder.path());
  write_file_atomically(folder.path() / "README.md", model_card(what.checkpoint, config, tokenizer.has_value()));
  folder.publish();
}

}  // namespace millrace
