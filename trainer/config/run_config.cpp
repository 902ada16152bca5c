#include "trainer/config/run_config.h"

#include <utility>

#include <fmt/format.h>

#include "pipeline/config/stream_file.h"
#include "pipeline/config/stream_keys.h"
#include "pipeline/keys/config_table.h"
#include "pipeline/keys/toml_writer.h"
#include "stages/errors.h"
#include "trainer/config/model_keys.h"
#include "trainer/config/train_keys.h"

namespace millrace {
namespace {

/// The run as files that load as the same run from any folder.
std::vector<std::pair<std::string, std::string>> resolve(const RunConfig& run) {
  TomlWriter toml;
  std::vector<std::pair<std::string, std::string>> files = write_stream(
      run.stream, run.vocabulary, toml, [&](std::size_t phase) { write_phase_settings(run.phases.at(phase), toml); });
  model_keys().write_table(run.model, toml, {{"preset", std::string(kDefaultPreset)}});
  for (const KeyTable<TrainConfig>& keys : train_keys()) keys.write_table(run.train, toml);
  files.emplace_back("run.toml", toml.text());
  return files;
}

}  // namespace

ModelConfig RunConfig::phase_model(std::size_t phase) const {
  ModelConfig with = model;
  model_keys().set(with, phases.at(phase).model);
  return with;
}

TrainConfig RunConfig::phase_train(std::size_t phase) const {
  TrainConfig with = train;
  train_keys().front().set(with, phases.at(phase).train);
  return with;
}

RunConfig load_run(const RunSource& options) {
  RunConfig run;
  run.file = options.run;
  if (std::filesystem::is_directory(run.file)) run.file /= "run.toml";
  const ConfigTable table = ConfigTable::read(run.file, options.sets);
  run.stream = read_stream(table);
  StreamConfig& stream = run.stream;
  run.vocabulary = table.path("vocab");
  if (!options.data.empty())
    stream.data_directory = std::filesystem::absolute(options.data).lexically_normal().string();
  run.model = read_model(table.table(model_keys().name()));
  if (run.model.max_position_embeddings < stream.sequence_length)
    run.model.max_position_embeddings = stream.sequence_length;
  run.names_loss_rows = table.table("train").has("loss_rows");
  const bool is_record = std::filesystem::exists(run.file.parent_path() / "run.json");
  run.train = read_training(table, is_record ? LossRows::of_micro_batch : LossRows::of_step);
  const ConfigTable grid = table.table(grid_keys().name());
  grid_keys().read(grid, run.grid);
  grid.refuse_unknown_keys();
  for (const ConfigTable& phase : table.tables(phase_keys().name()))
    run.phases.push_back(read_phase_settings(phase, run.model, run.train));
  table.refuse_unknown_keys();
  if (run.train.tokens == 0) run.train.tokens = stream.phases.back().until;
  if (run.train.tokens > stream.phases.back().until)
    throw ConfigError(fmt::format("{}: [train] tokens is {}, but the last phase ends at {}", run.file.string(),
                                  run.train.tokens, stream.phases.back().until));
  run.resolved = resolve(run);
  return run;
}

void keep_loss_rows(const RunConfig& from, RunConfig& run) {
  run.train.loss_rows = from.train.loss_rows;
  if (run.train.loss_rows % run.train.micro_rows != 0)
    throw ConfigError(
        fmt::format("{}: [train] micro_rows is {}, expected a divisor of loss_rows = {}, with which the "
                    "run was begun",
                    run.file.string(), run.train.micro_rows, run.train.loss_rows));
  run.resolved = resolve(run);
}

StreamConfig trained_stream(const RunConfig& run) {
  return stream_up_to(run.stream, run.train.tokens);
}

}  // namespace millrace
