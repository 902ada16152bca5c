#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/precision_option.h"
#include "cli/console/results.h"
#include "model/transformer/transformer.h"
#include "stages/errors.h"
#include "stages/io/output_file.h"
#include "trainer/backend/open_device.h"
#include "trainer/config/train_config.h"
#include "trainer/run/compute_threads.h"
#include "trainer/weights/mapped_weights.h"
#include "trainer/weights/model_json.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

namespace {

struct Options {
  std::string checkpoint;
  std::string ids;
  std::string out;
  std::string mode = "eval";
  std::string device = "cpu";
  std::string precision = "f32";
  bool gradients = false;
};

/// The ids of --ids as a batch that predicts each row's next token.
class Input {
 public:
  Input(const std::filesystem::path& path, const ModelConfig& config) {
    const SafetensorsFile file(path);
    const TensorView& ids = file.tensor("input_ids");
    if (ids.shape.size() != 2 || ids.elements() == 0) {
      throw ConfigError(fmt::format("{}: \"input_ids\" must be [B, T] with at least one token", path.string()));
    }
    if (ids.elements() > 1 << 24) throw ConfigError(path.string() + ": \"input_ids\" has more than 16 million tokens");
    rows_ = static_cast<int>(ids.shape[0]);
    length_ = static_cast<int>(ids.shape[1]);
    tokens_.resize(static_cast<std::size_t>(ids.elements()));
    copy_as_i32(ids, tokens_.data());
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i] >= 0 && tokens_[i] < config.vocab_size) continue;
      throw ConfigError(fmt::format("{}: \"input_ids\" holds {} at row {}, column {}; the model knows ids 0 to {}",
                                    path.string(), tokens_[i], i / static_cast<std::size_t>(length_),
                                    i % static_cast<std::size_t>(length_), config.vocab_size - 1));
    }
    labels_.assign(tokens_.begin() + 1, tokens_.end());
    labels_.push_back(0);
    weights_.assign(tokens_.size(), 1.0F);
    for (int row = 1; row <= rows_; ++row) weights_[static_cast<std::size_t>(row * length_ - 1)] = 0;
  }

  int rows() const { return rows_; }
  int length() const { return length_; }
  TokenBatch batch() const {
    return {rows_, length_, tokens_.data(), labels_.data(), weights_.data(), nullptr, nullptr};
  }

  /// Values per position, without the last position of each row.
  std::vector<float> without_last(const std::vector<float>& values) const {
    std::vector<float> result;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if ((i + 1) % static_cast<std::size_t>(length_) != 0) result.push_back(values[i]);
    }
    return result;
  }

 private:
  int rows_ = 0;
  int length_ = 0;
  std::vector<std::int32_t> tokens_;
  std::vector<std::int32_t> labels_;
  std::vector<float> weights_;
};

std::vector<float> as_floats(const std::vector<RouterStatistics>& routers, double RouterStatistics::*field) {
  std::vector<float> values;
  for (const RouterStatistics& router : routers) values.push_back(static_cast<float>(router.*field));
  return values;
}

/// Gives every parameter a zero gradient, and returns the gradients' memory.
std::vector<Buffer> with_gradients(Device& device, Parameters& parameters) {
  std::vector<Buffer> memory;
  for (Parameter& parameter : parameters.all) {
    const Tensor gradient = memory.emplace_back(device).shaped(1, parameter.spec.size(), Type::f32);
    device.clear(gradient.data, static_cast<std::size_t>(parameter.spec.size()) * sizeof(float));
    parameter.gradient = parameter_tensor(parameter.spec, gradient.data, Type::f32);
  }
  return memory;
}

std::vector<float> floats_of(Device& device, const Tensor& there, std::int64_t count) {
  std::vector<float> numbers(static_cast<std::size_t>(count));
  device.to_host(numbers.data(), there.data, numbers.size() * sizeof(float));
  return numbers;
}

std::vector<float> as_floats(const std::vector<double>& numbers) {
  return {numbers.begin(), numbers.end()};
}

void run(const Options& options) {
  require_threads(compute_threads());
  const ModelConfig config = load_model_config(options.checkpoint);
  const Input input(options.ids, config);
  require_writable(options.out, OutputKind::file);
  const std::string on = resolved_device(options.device);
  const std::unique_ptr<Device> opened =
      open_device(on, {precision_named(options.precision, "--precision", on)}, "--device");
  Device& device = *opened;
  refuse_what_it_cannot(device, config);
  MappedWeights weights(device, options.checkpoint, config);
  std::vector<Buffer> gradients;
  if (options.gradients) gradients = with_gradients(device, weights.views());
  Transformer model(device, config, weights.views());
  const Mode mode = options.mode == "train" ? Mode::train : Mode::eval;
  const Trace trace = model.trace(input.batch(), mode);

  const std::int64_t rows = input.rows();
  const std::int64_t length = input.length();
  const std::int64_t experts = config.num_experts;
  const auto moe_layers = static_cast<std::int64_t>(trace.routers.size());
  const std::vector<float> logits = as_floats(trace.logits);
  std::vector<TensorView> tensors{tensor_of("logits", {rows, length, config.vocab_size}, logits.data())};
  std::vector<std::vector<float>> router_logits;
  for (const std::vector<double>& numbers : trace.router_logits) router_logits.push_back(as_floats(numbers));
  std::size_t router = 0;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (!config.is_moe_layer(layer)) continue;
    tensors.push_back(
        tensor_of(fmt::format("router_logits.{}", layer), {rows * length, experts}, router_logits[router].data()));
    tensors.push_back(tensor_of(fmt::format("kept.{}", layer), {rows * length, experts}, trace.kept[router].data()));
    ++router;
  }
  const std::vector<float> aux = as_floats(trace.routers, &RouterStatistics::aux_loss);
  const std::vector<float> z = as_floats(trace.routers, &RouterStatistics::z_loss);
  tensors.push_back(tensor_of("aux_loss_per_layer", {moe_layers}, aux.data()));
  tensors.push_back(tensor_of("router_z_loss_per_layer", {moe_layers}, z.data()));

  TokenScores scores;
  std::vector<float> cross_entropy;
  float loss = 0;
  std::vector<std::vector<float>> of_parameters;
  if (options.gradients) {
    const Losses losses = model.forward_backward(input.batch(), 1.0, &scores);
    loss = static_cast<float>(losses.total);
    cross_entropy = input.without_last(scores.cross_entropy);
    tensors.push_back(tensor_of("ce_per_token", {rows, length - 1}, cross_entropy.data()));
    tensors.push_back(tensor_of("loss", {1}, &loss));
    for (const Parameter& parameter : weights.views().all) {
      of_parameters.push_back(floats_of(device, parameter.gradient, parameter.spec.size()));
      tensors.push_back(tensor_of("grad." + parameter.spec.name, parameter.spec.shape, of_parameters.back().data()));
    }
  }
  write_safetensors(options.out, std::move(tensors));
  print_results(fmt::format("{}: {} rows of {} tokens, {} mode\n", options.out, rows, length, options.mode));
}

}  // namespace

void add_logits(CLI::App& app) {
  const Command command(app, "logits", "Computes logits, routing and gradients of given token ids.");
  const auto options = std::make_shared<Options>();
  command.add_option("checkpoint", options->checkpoint, "Folder with config.json and model.safetensors").required();
  command.add_option("--ids", options->ids, "Safetensors file with input_ids [B, T], i32").required();
  command.add_option("--out", options->out, "Safetensors file to write").required();
  command.add_option("--mode", options->mode, "Whose capacity factor the routers use").one_of({"eval", "train"});
  add_device_option(command, options->device);
  add_precision_option(command, options->precision);
  command.add_flag("--grads", options->gradients, "With --mode train: also the loss and every parameter's gradient");
  command.footer(
      "Labels are the next tokens of each row; the last position has none.\n"
      "Example:\n  millrace logits runs/quickstart/checkpoints/step-000256 --ids ids.safetensors --out out.safetensors "
      "--mode train --grads");
  command.callback([options] {
    if (options->gradients && options->mode != "train") throw ConfigError("--grads needs --mode train");
    run(*options);
  });
}

}  // namespace millrace
