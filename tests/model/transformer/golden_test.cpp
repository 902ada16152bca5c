// Compares with results of other implementations: tests/golden/make_model_golden.py, and the public PyTorch code's.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "model/transformer/transformer.h"
#include "tests/model/test_support.h"
#include "trainer/weights/model_json.h"
#include "trainer/weights/safetensors.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

ModelConfig config_of(const fs::path& path) {
  std::ifstream file(path);
  return parse_model_config({std::istreambuf_iterator<char>(file), {}}, path.string());
}

std::vector<float> floats(const SafetensorsFile& file, const std::string& name) {
  std::vector<float> values(static_cast<std::size_t>(file.tensor(name).elements()));
  copy_as_f32(file.tensor(name), values.data());
  return values;
}

/// Flags, stored as one byte each.
std::vector<std::uint8_t> bytes(const SafetensorsFile& file, const std::string& name) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(file.tensor(name).data);
  return {data, data + file.tensor(name).bytes()};
}

double difference_to_largest(const std::vector<double>& a, const std::vector<float>& b) {
  double difference = 0;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, std::abs(a[i] - b[i]));
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return a.size() == b.size() ? difference / largest : 1e9;
}

/// The input ids of a file, predicting each row's next token.
struct NextToken {
  int rows, length;
  std::vector<std::int32_t> tokens, labels;
  std::vector<float> weights;

  explicit NextToken(const TensorView& ids)
      : rows(static_cast<int>(ids.shape[0])),
        length(static_cast<int>(ids.shape[1])),
        tokens(static_cast<std::size_t>(ids.elements())) {
    copy_as_i32(ids, tokens.data());
    labels.assign(tokens.begin() + 1, tokens.end());
    labels.push_back(0);
    for (std::size_t i = 0; i < tokens.size(); ++i)
      weights.push_back((static_cast<int>(i) + 1) % length != 0 ? 1.0F : 0.0F);
  }
  TokenBatch batch() const { return {rows, length, tokens.data(), labels.data(), weights.data(), nullptr, nullptr}; }
};

test::Weights weights_of(const ModelConfig& config, const SafetensorsFile& file, const std::string& prefix,
                         Precision precision = Precision::f32, ProductSource source = ProductSource::onednn) {
  test::Weights weights(config, precision, source);
  for (const Parameter& parameter : weights.views().all) {
    const TensorView& tensor = file.tensor(prefix + parameter.spec.name);
    EXPECT_EQ(tensor.shape, parameter.spec.shape) << parameter.spec.name;
    copy_as_f32(tensor, test::numbers_of<float>(parameter.value).data());
  }
  weights.memory->round_values();
  return weights;
}

TEST(Golden, AgreesWithThePlainImplementation) {
  const fs::path folder = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden";
  const ModelConfig config = config_of(folder / "model.config.json");
  const SafetensorsFile golden(folder / "model.safetensors");
  auto memory = weights_of(config, golden, "weight.");
  Transformer model(*memory.device, config, memory.views());
  const NextToken input(golden.tensor("input_ids"));
  for (const auto& [mode, name] : {std::pair{Mode::eval, "eval"}, {Mode::train, "train"}}) {
    const Trace trace = model.trace(input.batch(), mode);
    const std::string prefix = std::string(name) + ".";
    EXPECT_LT(difference_to_largest(trace.logits, floats(golden, prefix + "logits")), 1e-5);
    EXPECT_LT(difference_to_largest(trace.router_logits[0], floats(golden, prefix + "router_logits")), 1e-5);
    EXPECT_EQ(trace.kept[0], bytes(golden, prefix + "kept"));
    EXPECT_NEAR(trace.routers[0].aux_loss, floats(golden, prefix + "aux_z")[0], 1e-5);
    EXPECT_NEAR(trace.routers[0].z_loss, floats(golden, prefix + "aux_z")[1], 1e-5);
  }
  const Losses losses = model.forward_backward(input.batch(), 1.0);
  EXPECT_NEAR(losses.total / floats(golden, "train.loss")[0], 1.0, 1e-6);
  for (const Parameter& parameter : memory.views().all) {
    const std::vector<float> direction = floats(golden, "direction." + parameter.spec.name);
    const std::span<float> gradient = test::numbers_of<float>(parameter.gradient);
    double slope = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) slope += direction[i] * static_cast<double>(gradient[i]);
    EXPECT_NEAR(slope, floats(golden, "slope." + parameter.spec.name)[0], 2e-6) << parameter.spec.name;
  }
}

/// The folder with results of the published PyTorch code, which are not part of this repository.
fs::path reference_folder() {
  const char* shared = std::getenv("MILLRACE_SHARED");
  return (shared != nullptr ? fs::path(shared) : fs::path(MILLRACE_SOURCE_DIR) / "../shared") / "reference";
}

TEST(Golden, AgreesWithThePublishedPyTorchCode) {
  const fs::path folder = reference_folder();
  if (!fs::exists(folder / "tiny.golden.safetensors")) {
    GTEST_SKIP() << folder << " is not there; set MILLRACE_SHARED to the folder that holds reference/";
  }
  const ModelConfig config = config_of(folder / "tiny.config.json");
  const SafetensorsFile golden(folder / "tiny.golden.safetensors");
  const SafetensorsFile weights(folder / "tiny.weights.safetensors");
  auto memory = weights_of(config, weights, "");
  Transformer model(*memory.device, config, memory.views());
  const NextToken input(golden.tensor("input_ids"));
  EXPECT_LT(difference_to_largest(model.trace(input.batch(), Mode::eval).logits, floats(golden, "eval.logits")), 1e-4);
  const Trace trace = model.trace(input.batch(), Mode::train);
  EXPECT_LT(difference_to_largest(trace.logits, floats(golden, "train.logits")), 1e-4);
  EXPECT_EQ(trace.kept[0], bytes(golden, "train.kept.1"));
  EXPECT_EQ(trace.kept[1], bytes(golden, "train.kept.3"));
  const Losses losses = model.forward_backward(input.batch(), 1.0);
  EXPECT_NEAR(losses.total / floats(golden, "train.loss")[0], 1.0, 1e-5);
  for (const Parameter& parameter : memory.views().all) {
    const std::vector<float> expected = floats(golden, "grad." + parameter.spec.name);
    const std::span<float> gradient = test::numbers_of<float>(parameter.gradient);
    double difference = 0;
    double norm = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      difference += std::pow(static_cast<double>(gradient[i]) - expected[i], 2);
      norm += std::pow(static_cast<double>(expected[i]), 2);
    }
    EXPECT_LT(std::sqrt(difference / norm), 2e-3) << parameter.spec.name;
  }
}

/// bf16 has 8 significant bits: logits within 3 % of the largest, the loss within 0.5 %, each gradient within 15 % by
/// norm, unless a token's choice of experts is so close to a tie that rounding changes it, which does not occur here.
TEST(Golden, StaysNearThePublishedPyTorchCodeInBf16) {
  const fs::path folder = reference_folder();
  if (!fs::exists(folder / "tiny.golden.safetensors")) {
    GTEST_SKIP() << folder << " is not there; set MILLRACE_SHARED to the folder that holds reference/";
  }
  const ModelConfig config = config_of(folder / "tiny.config.json");
  const SafetensorsFile golden(folder / "tiny.golden.safetensors");
  const SafetensorsFile weights(folder / "tiny.weights.safetensors");
  auto memory = weights_of(config, weights, "", Precision::bf16);
  Transformer model(*memory.device, config, memory.views());
  const NextToken input(golden.tensor("input_ids"));
  EXPECT_LT(difference_to_largest(model.trace(input.batch(), Mode::eval).logits, floats(golden, "eval.logits")), 0.03);
  const Losses losses = model.forward_backward(input.batch(), 1.0);
  EXPECT_NEAR(losses.total / floats(golden, "train.loss")[0], 1.0, 5e-3);
  for (const Parameter& parameter : memory.views().all) {
    const std::vector<float> expected = floats(golden, "grad." + parameter.spec.name);
    const std::span<float> gradient = test::numbers_of<float>(parameter.gradient);
    double difference = 0;
    double norm = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      difference += std::pow(static_cast<double>(gradient[i]) - expected[i], 2);
      norm += std::pow(static_cast<double>(expected[i]), 2);
    }
    EXPECT_LT(std::sqrt(difference / norm), 0.15) << parameter.spec.name;
  }
}

}  // namespace
}  // namespace millrace
