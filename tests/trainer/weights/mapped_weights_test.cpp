#include "trainer/weights/mapped_weights.h"

#include <algorithm>
#include <bit>
#include <fstream>
#include <sstream>

#include <fmt/ranges.h>

#include "model/bf16.h"
#include "model/parameters/parameter_spec.h"
#include "model/transformer/generator.h"
#include "tests/trainer/weights/weights_fixture.h"
#include "trainer/weights/weights.h"

namespace millrace {
namespace {

class MappedWeightsTest : public WeightsTest {
 protected:
  /// The model's tensors in BF16; its values lose what that has no room for.
  std::vector<TensorView> tensors_in_bf16() {
    std::vector<TensorView> all = tensors();
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::vector<Bf16>& halves = halves_.emplace_back();
      for (float& value : floats_of(memory_.views().all[i].value)) {
        const auto half = static_cast<Bf16>(std::bit_cast<std::uint32_t>(value) >> 16U);
        value = widened(half);
        halves.push_back(half);
      }
      all[i].type = TensorType::bf16;
      all[i].data = reinterpret_cast<const std::byte*>(halves.data());
    }
    return all;
  }
  static void expect_same_image(const Parameter& found, const Parameter& expected) {
    ASSERT_EQ(found.image.type, Type::bf16);
    ASSERT_EQ(found.image.size(), expected.spec.size());
    EXPECT_EQ(std::memcmp(found.image.data, expected.image.data,
                          static_cast<std::size_t>(expected.spec.size()) * sizeof(Bf16)),
              0)
        << expected.spec.name;
  }

  CpuDevice bf16_{Precision::bf16};

 private:
  std::vector<std::vector<Bf16>> halves_;
};

/// A processor that does as if its memory were its own.
class ApartDevice : public CpuDevice {
 public:
  using CpuDevice::CpuDevice;
  bool reads_host_memory() const override { return false; }
};

TEST_F(MappedWeightsTest, AreCopiedToADeviceWithMemoryOfItsOwnAsProductsReadThemAlone) {
  ApartDevice full(Precision::f32);
  ApartDevice half(Precision::bf16);
  const auto check = [&](const std::vector<TensorView>& file_tensors) {
    write_single(file_tensors);
    MappedWeights in_place(bf16_, folder_.path(), config_);
    MappedWeights weights(full, folder_.path(), config_);
    MappedWeights rounded(half, folder_.path(), config_);
    expect_same_numbers(weights.views());
    EXPECT_EQ(weights.mapped_bytes(), 0U);
    for (std::size_t i = 0; i < rounded.views().all.size(); ++i) {
      const Parameter& parameter = rounded.views().all[i];
      EXPECT_EQ(static_cast<bool>(parameter.image), has_image(parameter.spec));
      EXPECT_NE(static_cast<bool>(parameter.value), has_image(parameter.spec)) << parameter.spec.name;
      if (parameter.image) expect_same_image(parameter, in_place.views().all[i]);
    }
  };
  check(tensors());
  check(tensors_in_bf16());
}

TEST_F(MappedWeightsTest, AreViewsOfF32Files) {
  write_single(tensors());
  MappedWeights weights(device_, folder_.path(), config_);
  expect_same_numbers(weights.views());
  EXPECT_EQ(weights.mapped_bytes(), static_cast<std::uint64_t>(parameter_count(config_)) * 4);
  EXPECT_EQ(weights.converted_bytes(), 0U);
  write_shards(7);
  std::filesystem::remove(file("model.safetensors"));
  MappedWeights shards(device_, folder_.path(), config_);
  expect_same_numbers(shards.views());
  EXPECT_EQ(shards.converted_bytes(), 0U);
}

TEST_F(MappedWeightsTest, HaveTheImagesThatATrainedModelHasInBf16) {
  write_single(tensors());
  MappedWeights weights(bf16_, folder_.path(), config_);
  expect_same_numbers(weights.views());
  Memory trained(bf16_, config_, Memory::Gradients::none);
  for (std::size_t i = 0; i < trained.views().all.size(); ++i)
    std::ranges::copy(floats_of(memory_.views().all[i].value), floats_of(trained.views().all[i].value).begin());
  trained.round_values();
  std::size_t images = 0;
  for (std::size_t i = 0; i < trained.views().all.size(); ++i) {
    const Parameter& expected = trained.views().all[i];
    const Parameter& found = weights.views().all[i];
    ASSERT_EQ(bool(found.image), bool(expected.image)) << expected.spec.name;
    if (!expected.image) continue;
    ++images;
    expect_same_image(found, expected);
  }
  EXPECT_GT(images, 0u);
}

TEST_F(MappedWeightsTest, StayThemselvesWhenTheFileIsReplaced) {
  write_single(tensors());
  MappedWeights weights(device_, folder_.path(), config_);
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
  MappedWeights weights(device_, folder_.path(), config_);
  expect_same_numbers(weights.views());
  EXPECT_EQ(weights.mapped_bytes(), 0U);
}

TEST_F(MappedWeightsTest, AreWidenedFromBf16) {
  write_single(tensors_in_bf16());
  MappedWeights weights(device_, folder_.path(), config_);
  expect_same_numbers(weights.views());
  EXPECT_EQ(weights.mapped_bytes(), 0U);
  EXPECT_EQ(weights.converted_bytes(), static_cast<std::uint64_t>(parameter_count(config_)) * 4);
}

TEST_F(MappedWeightsTest, AreUsedAsTheyLieInABf16FileByAModelInBf16) {
  write_single(tensors_in_bf16());
  MappedWeights weights(bf16_, folder_.path(), config_);
  Memory trained(bf16_, config_, Memory::Gradients::none);
  load_parameters(bf16_, folder_.path(), trained.views());
  trained.round_values();
  std::uint64_t in_place = 0;
  for (std::size_t i = 0; i < trained.views().all.size(); ++i) {
    const Parameter& expected = trained.views().all[i];
    const Parameter& found = weights.views().all[i];
    ASSERT_EQ(bool(found.image), bool(expected.image)) << expected.spec.name;
    if (expected.image) {
      expect_same_image(found, expected);
    } else if (is_looked_up(expected.spec)) {
      ASSERT_EQ(found.value.type, Type::bf16);
      const auto* halves = static_cast<const Bf16*>(found.value.data);
      EXPECT_TRUE(std::ranges::equal(floats_of(expected.value), std::span(halves, floats_of(expected.value).size()), {},
                                     {}, widened));
    } else {
      ASSERT_EQ(found.value.type, Type::f32) << expected.spec.name;
      EXPECT_TRUE(std::ranges::equal(floats_of(found.value), floats_of(expected.value))) << expected.spec.name;
      continue;
    }
    in_place += static_cast<std::uint64_t>(expected.spec.size()) * sizeof(Bf16);
  }
  EXPECT_EQ(weights.mapped_bytes(), in_place);
  EXPECT_GT(in_place, weights.converted_bytes());
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
  CpuDevice device(Precision::f32);
  MappedWeights weights(device, folder.path(), config);
  EXPECT_GT(weights.mapped_bytes(), 8'000'000'000U);
  EXPECT_LT(resident("model.safetensors"), 16U << 20);
  Generator generator(device, config, weights.views(), 8);
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
