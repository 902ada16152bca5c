#include "trainer/weights/mapped_weights.h"

#include <fstream>
#include <sstream>

#include <fmt/ranges.h>

#include "model/parameters/parameter_spec.h"
#include "model/transformer/generator.h"
#include "tests/trainer/weights/weights_fixture.h"

namespace millrace {
namespace {

class MappedWeightsTest : public WeightsTest {};

TEST_F(MappedWeightsTest, AreViewsOfF32Files) {
  write_single(tensors());
  MappedWeights weights(folder_.path(), config_);
  expect_same_numbers(weights.views());
  EXPECT_EQ(weights.mapped_bytes(), static_cast<std::uint64_t>(parameter_count(config_)) * 4);
  EXPECT_EQ(weights.converted_bytes(), 0U);
  write_shards(7);
  std::filesystem::remove(file("model.safetensors"));
  MappedWeights shards(folder_.path(), config_);
  expect_same_numbers(shards.views());
  EXPECT_EQ(shards.converted_bytes(), 0U);
}

TEST_F(MappedWeightsTest, HaveTheImagesThatATrainedModelHasInBf16) {
  write_single(tensors());
  MappedWeights weights(folder_.path(), config_, Precision::bf16);
  expect_same_numbers(weights.views());
  Memory trained(config_, Memory::Gradients::none, Precision::bf16);
  for (std::size_t i = 0; i < trained.views().all.size(); ++i)
    std::copy_n(memory_.views().all[i].value, memory_.views().all[i].spec.size(), trained.views().all[i].value);
  trained.round_values();
  std::size_t images = 0;
  for (std::size_t i = 0; i < trained.views().all.size(); ++i) {
    const Parameter<float>& expected = trained.views().all[i];
    const Parameter<float>& found = weights.views().all[i];
    ASSERT_EQ(found.image == nullptr, expected.image == nullptr) << expected.spec.name;
    if (expected.image == nullptr) continue;
    ++images;
    EXPECT_EQ(std::memcmp(found.image, expected.image, static_cast<std::size_t>(expected.spec.size()) * sizeof(Bf16)),
              0);
  }
  EXPECT_GT(images, 0u);
}

TEST_F(MappedWeightsTest, StayThemselvesWhenTheFileIsReplaced) {
  write_single(tensors());
  MappedWeights weights(folder_.path(), config_);
  folder_.write("other", "nothing");
  std::filesystem::rename(file("other"), file("model.safetensors"));
  expect_same_numbers(weights.views());
}

TEST_F(MappedWeightsTest, AreCopiedWhereTheFileHasThemAtAnOddPlace) {
  write_single(tensors());
  std::ifstream whole(file("model.safetensors"), std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(whole), {}};
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  bytes.insert(8 + length, " ");
  ++length;
  std::memcpy(bytes.data(), &length, 8);
  folder_.write("model.safetensors", bytes);
  MappedWeights weights(folder_.path(), config_);
  expect_same_numbers(weights.views());
  EXPECT_EQ(weights.mapped_bytes(), 0U);
}

TEST_F(MappedWeightsTest, AreWidenedFromBf16) {
  std::vector<std::vector<std::uint16_t>> halves;
  std::vector<TensorView> all = tensors();
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::int64_t j = 0; j < all[i].elements(); ++j) {
      float& value = memory_.views().all[i].value[j];
      std::uint32_t bits = 0;
      std::memcpy(&bits, &value, 4);
      bits &= 0xFFFF0000U;
      std::memcpy(&value, &bits, 4);
      if (j == 0) halves.emplace_back();
      halves.back().push_back(static_cast<std::uint16_t>(bits >> 16));
    }
    all[i].type = TensorType::bf16;
    all[i].data = reinterpret_cast<const std::byte*>(halves.back().data());
  }
  write_single(all);
  MappedWeights weights(folder_.path(), config_);
  expect_same_numbers(weights.views());
  EXPECT_EQ(weights.mapped_bytes(), 0U);
  EXPECT_EQ(weights.converted_bytes(), static_cast<std::uint64_t>(parameter_count(config_)) * 4);
}

/// 256 experts of 34 MB each in one layer, 8.6 GB together.
ModelConfig many_experts() {
  ModelConfig config = model_preset("openmoe-micro");
  config.hidden_size = 512;
  config.intermediate_size = 4096;
  config.num_hidden_layers = 1;
  config.moe_layer_interval = 1;
  config.num_experts = 256;
  return config;
}

/// A sparse model.safetensors of zeros, which takes no disk space.
void write_zeros(const std::filesystem::path& path, const ModelConfig& config) {
  std::string header;
  std::uint64_t at = 0;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    const std::uint64_t end = at + static_cast<std::uint64_t>(spec.size()) * 4;
    header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})", at > 0 ? "," : "{",
                          spec.name, fmt::join(spec.shape, ","), at, end);
    at = end;
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = header.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), 8);
  file << header;
  file.close();
  std::filesystem::resize_file(path, 8 + length + at);
}

/// Resident bytes of this process's mappings of files with that name.
std::uint64_t resident(const std::string& name) {
  std::ifstream maps("/proc/self/smaps");
  std::uint64_t kilobytes = 0;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with(name)) ours = true;
    if (!ours || !line.starts_with("Rss:")) continue;
    std::istringstream(line.substr(4)) >> kilobytes;
    break;
  }
  return kilobytes * 1024;
}

TEST(MappedExperts, AreNotReadUnlessATokenIsSentToThem) {
  const TemporaryFolder folder;
  const ModelConfig config = many_experts();
  write_zeros(folder.path() / "model.safetensors", config);
  MappedWeights weights(folder.path(), config);
  EXPECT_GT(weights.mapped_bytes(), 8'000'000'000U);
  EXPECT_LT(resident("model.safetensors"), 16U << 20);
  Generator generator(config, weights.views(), 8);
  int drawn = 0;
  generator.generate({0, 5}, 3, config.vocab_size, {}, [&](std::int32_t) { return ++drawn > 0; });
  EXPECT_EQ(drawn, 3);
  // A router of zeros sends every token to experts 0 and 1; the shared FFN is as large as an expert.
  const std::uint64_t expert = std::uint64_t{4} * 512 * 4096 * 4;
  EXPECT_GE(resident("model.safetensors"), 3 * expert);
  EXPECT_LT(resident("model.safetensors"), 5 * expert);
}

}  // namespace
}  // namespace millrace
