#pragma once

#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "model/cpu/cpu_device.h"
#include "model/parameters/parameter.h"
#include "stages/errors.h"
#include "tests/temporary_folder.h"
#include "tests/trainer/floats.h"
#include "trainer/weights/safetensors.h"

namespace millrace {

/// A model with distinct, non-integer values for all parameters, and a folder to save them in.
class WeightsTest : public testing::Test {
 protected:
  using Memory = ParameterMemory;

  explicit WeightsTest(const ModelConfig& config = model_preset("openmoe-micro"))
      : config_(config), memory_(device_, config_, Memory::Gradients::none) {
    float number = 0;
    for (const Parameter& parameter : memory_.views().all) {
      for (float& value : floats_of(parameter.value)) value = number += 0.3F;
    }
  }

  std::vector<TensorView> tensors() const {
    std::vector<TensorView> result;
    for (const Parameter& parameter : memory_.views().all)
      result.push_back(tensor_of(parameter.spec.name, parameter.spec.shape, floats_of(parameter.value).data()));
    return result;
  }
  std::filesystem::path file(const std::string& name) const { return folder_.path() / name; }

  void write_single(std::vector<TensorView> all) const { write_safetensors(file("model.safetensors"), std::move(all)); }

  /// model-1.safetensors with the first `middle` tensors and model-2.safetensors with the others; an index of both.
  void write_shards(std::size_t middle) const {
    const std::vector<TensorView> all = tensors();
    const auto cut = all.begin() + static_cast<std::ptrdiff_t>(middle);
    write_safetensors(file("model-1.safetensors"), {all.begin(), cut});
    write_safetensors(file("model-2.safetensors"), {cut, all.end()});
    std::string map;
    for (std::size_t i = 0; i < all.size(); ++i)
      map += fmt::format("{}\"{}\":\"model-{}.safetensors\"", i > 0 ? "," : "", all[i].name, i < middle ? 1 : 2);
    write_index(map);
  }
  void write_index(const std::string& weight_map) const {
    folder_.write("model.safetensors.index.json", R"({"metadata":{},"weight_map":{)" + weight_map + "}}");
  }

  void expect_same_numbers(const Parameters& read) const {
    ASSERT_EQ(read.all.size(), memory_.views().all.size());
    for (std::size_t i = 0; i < read.all.size(); ++i) {
      const Parameter& a = read.all[i];
      ASSERT_EQ(a.value.type, Type::f32) << a.spec.name;
      ASSERT_EQ(a.value.size(), a.spec.size()) << a.spec.name;
      EXPECT_EQ(std::memcmp(a.value.data, memory_.views().all[i].value.data, floats_of(a.value).size_bytes()), 0)
          << a.spec.name;
    }
  }

  TemporaryFolder folder_;
  ModelConfig config_;
  CpuDevice device_{Precision::f32};
  Memory memory_;
};

}  // namespace millrace
