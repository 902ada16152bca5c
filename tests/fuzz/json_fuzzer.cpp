// JSON files of runs, checkpoints, outputs and indexes: every reader refuses a text with the name of its file, or reads
// a value that survives being written and read again.
#include <string>

#include "model/config/model_config.h"
#include "pipeline/corpora/data_manifest.h"
#include "pipeline/corpora/reject_json.h"
#include "pipeline/corpora/shard_fingerprint.h"
#include "pipeline/export/export_manifest.h"
#include "pipeline/formats/export_identity.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/rows/ledger.h"
#include "pipeline/rows/position.h"
#include "pipeline/rows/row_provenance.h"
#include "stages/errors.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/require.h"
#include "trainer/checkpoint/train_state.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

constexpr const char* kFile = "fuzzed.json";

JsonValue parsed(const std::string& text) {
  return JsonValue::parse(text, {kFile, 0, ""});
}

/// `written` reads a text and writes the value again.
template <class Written>
void try_text(const std::string& text, const std::string& name, const Written& written) {
  std::string once;
  try {
    once = written(text);
  } catch (const ConfigError& error) {
    require(std::string(error.what()).find(name) != std::string::npos, "a refusal names the file");
    return;
  }
  try {
    require(written(once) == once, "what is written reads back the same");
  } catch (const ConfigError&) {
    require(false, "what is written can be read");
  }
}

template <class Value>
std::string again(const std::string& text) {
  return json_line(parsed(text).as<Value>());
}

std::string state_again(const std::string& text) {
  TrainState state;
  RunIdentity identity;
  parse_state_json(parsed(text), state, identity);
  return json_page(state_json(state, identity));
}

void try_manifest(const std::string& text) {
  try_text(text, "/proc/self/fd/", [](const std::string& bytes) {
    const MemoryFile file(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    return json_table(manifest_json(read_manifest(file.path()), "/proc/self/fd"));
  });
}

void try_all(const std::string& text) {
  try_text(text, kFile, again<StreamPosition>);
  try_text(text, kFile, again<Ledger>);
  try_text(text, kFile, again<ExportIdentity>);
  try_text(text, kFile, again<ExportManifest>);
  try_text(text, kFile, again<ExampleOrigin>);
  try_text(text, kFile, [](const std::string& t) { return to_jsonl(rejects_from_jsonl(t, kFile)); });
  try_text(text, kFile, [](const std::string& t) { return to_jsonl(fingerprints_from_jsonl(t, kFile)); });
  try_text(text, kFile, [](const std::string& t) { return model_config_json(parse_model_config(t, kFile)); });
  try_text(text, kFile, state_again);
  try_manifest(text);
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  millrace::try_all({reinterpret_cast<const char*>(data), size});
  return 0;
}
