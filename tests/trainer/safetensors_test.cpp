#include "trainer/safetensors.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include "stages/errors.h"
#include "trainer/config_json.h"
#include "trainer/weights.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// A folder of its own for each test, removed at the end.
class Safetensors : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(::testing::TempDir()) / (std::string(test->name()) + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string file_of(std::string header, std::size_t data_bytes) {
    std::uint64_t length = header.size();
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    return bytes + header + std::string(data_bytes, '\1');
  }
  /// Expects a refusal that says `word`.
  void expect_refused(const std::string& bytes, const std::string& word) const {
    const fs::path path = write("bad.safetensors", bytes);
    try {
      const SafetensorsFile file(path);
      FAIL() << "accepted; expected a word about " << word;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("bad.safetensors"), std::string::npos) << error.what();
    }
  }

  fs::path folder_;
};

TEST_F(Safetensors, WritesTheBytesOfTheFormatsExample) {
  const float values[] = {1, 2};
  write_safetensors(folder_ / "w", {tensor_of("w", {2}, values)});
  const std::string bytes = read(folder_ / "w");
  EXPECT_EQ(bytes.size(), 72U);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x38\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(bytes.substr(8, 56), R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  )");
  EXPECT_EQ(bytes.substr(64), std::string("\0\0\x80\x3f\0\0\0\x40", 8));
}

TEST_F(Safetensors, ReadsBackWhatItWrote) {
  const float floats[] = {1, -2, 0.5F, 3, 4, 5};
  const std::int32_t integers[] = {7, -8};
  const std::uint8_t flags[] = {1, 0, 1};
  write_safetensors(
      folder_ / "t",
      {tensor_of("flags", {3}, flags), tensor_of("z", {2, 3}, floats), tensor_of("a", {6}, floats),
       tensor_of("ids", {1, 2}, integers), tensor_of("none", {0, 5}, floats), tensor_of("one", {}, floats)},
      {{"format", "pt"}});
  const SafetensorsFile file(folder_ / "t");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.tensors().size(), 6U);
  EXPECT_EQ(file.tensor("z").shape, (std::vector<std::int64_t>{2, 3}));
  float read_floats[6];
  copy_as_f32(file.tensor("z"), read_floats);
  EXPECT_EQ(std::memcmp(floats, read_floats, sizeof floats), 0);
  std::int32_t read_integers[2];
  copy_as_i32(file.tensor("ids"), read_integers);
  EXPECT_EQ(read_integers[1], -8);
  EXPECT_EQ(file.tensor("one").elements(), 1);
  EXPECT_EQ(file.tensor("none").elements(), 0);
  EXPECT_EQ(file.find("q"), nullptr);
  EXPECT_THROW(file.tensor("q"), ConfigError);
  EXPECT_THROW(copy_as_i32(file.tensor("z"), read_integers), ConfigError);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "a temporary file was left";
}

TEST_F(Safetensors, ConvertsHalfPrecisionToF32) {
  const std::string header =
      R"({"b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"h":{"dtype":"F16","shape":[4],"data_offsets":[4,12]}})";
  std::string bytes = file_of(header, 12);
  const std::uint16_t halves[] = {0x3fc0, 0xc000, 0x3e00, 0xc000, 0x0001, 0x7c00};
  std::memcpy(bytes.data() + bytes.size() - 12, halves, 12);
  const SafetensorsFile file(write("h", bytes));
  float values[4];
  copy_as_f32(file.tensor("b"), values);
  EXPECT_EQ(values[0], 1.5F);
  EXPECT_EQ(values[1], -2.0F);
  copy_as_f32(file.tensor("h"), values);
  EXPECT_EQ(values[0], 1.5F);
  EXPECT_EQ(values[1], -2.0F);
  EXPECT_EQ(values[2], std::ldexp(1.0F, -24));
  EXPECT_TRUE(std::isinf(values[3]));
}

TEST_F(Safetensors, RefusesDamagedFilesSayingWhatIsWrong) {
  const std::string good = R"("w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  expect_refused("", "too short");
  expect_refused(std::string(8, '\xff'), "at most");
  expect_refused(file_of("{" + good + "}", 8).substr(0, 30), "runs past the end");
  expect_refused(file_of("{" + good, 8), "not JSON");
  expect_refused(file_of(" {" + good + "}", 8), "does not start");
  expect_refused(file_of("{" + good + "," + good + "}", 8), "twice");
  expect_refused(file_of("{" + good + "}", 7), "bytes of data");
  expect_refused(file_of("{" + good + "}", 9), "after the last tensor");
  expect_refused(file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12), "hole");
  expect_refused(file_of("{" + good + R"(,"v":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12), "overlaps");
  expect_refused(file_of(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "need 12");
  expect_refused(file_of(R"({"w":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8), "F31");
  expect_refused(file_of(R"({"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), "natural number");
  expect_refused(file_of(R"({"w":{"dtype":"F32","shape":[4611686018427387904,16],"data_offsets":[0,8]}})", 8),
                 "overflows");
  expect_refused(file_of(R"({"w":{"dtype":"F32","data_offsets":[0,8]}})", 8), "no shape");
  expect_refused(file_of(R"({"w":7})", 0), "object");
  expect_refused(file_of(R"({"__metadata__":{"a":1}})", 0), "not a string");
}

RC_GTEST_PROP(SafetensorsFuzz, AnyDamageToAHeaderIsAcceptedOrRefusedNeverFatal, ()) {
  const std::string header =
      R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  bytes += header + std::string(11, 'x');
  for (int change = *rc::gen::inRange(1, 6); change > 0; --change) {
    bytes[*rc::gen::inRange<std::size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
  }
  bytes.resize(*rc::gen::inRange<std::size_t>(bytes.size() / 2, bytes.size() + 1));
  const fs::path path = fs::path(::testing::TempDir()) / ("fuzz" + std::to_string(::getpid()));
  std::ofstream(path, std::ios::binary) << bytes;
  try {
    const SafetensorsFile file(path);
    for (const TensorView& tensor : file.tensors()) {
      volatile std::byte last = tensor.bytes() == 0 ? std::byte{} : tensor.data[tensor.bytes() - 1];
      static_cast<void>(last);
    }
  } catch (const ConfigError&) {
  }
  fs::remove(path);
}

/// A checkpoint of openmoe-micro.
class Weights : public Safetensors {
 protected:
  using Memory = ParameterMemory<float>;
  Weights() : config_(model_preset("openmoe-micro")), memory_(config_, Memory::Gradients::none) {
    float number = 0;
    for (Parameter<float>& parameter : memory_.views().all) {
      for (std::int64_t i = 0; i < parameter.spec.size(); ++i) parameter.value[i] = number += 0.25F;
    }
  }
  std::vector<TensorView> tensors() const {
    std::vector<TensorView> result;
    for (const auto& parameter : memory_.views().all) {
      result.push_back(tensor_of(parameter.spec.name, parameter.spec.shape, parameter.value));
    }
    return result;
  }
  void expect_load_refused(const std::string& word) const {
    Memory other(config_, Memory::Gradients::none);
    try {
      load_parameters(folder_, other.views());
      FAIL() << "accepted; expected a word about " << word;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
  void expect_loads() const {
    Memory other(config_, Memory::Gradients::none);
    load_parameters(folder_, other.views());
    for (std::size_t i = 0; i < other.views().all.size(); ++i) {
      const Parameter<float>& a = other.views().all[i];
      EXPECT_EQ(std::memcmp(a.value, memory_.views().all[i].value, static_cast<std::size_t>(a.spec.size()) * 4), 0);
    }
  }
  ModelConfig config_;
  Memory memory_;
};

TEST_F(Weights, LoadWhatWasSaved) {
  save_parameters(folder_, memory_.views());
  expect_loads();
}

TEST_F(Weights, LoadFromShardsNamedByAnIndex) {
  std::vector<TensorView> all = tensors();
  const auto middle = all.begin() + 5;
  std::string map;
  for (auto tensor = all.begin(); tensor != all.end(); ++tensor) {
    map += (map.empty() ? "\"" : ",\"") + tensor->name +
           (tensor < middle ? "\":\"a.safetensors\"" : "\":\"b.safetensors\"");
  }
  write_safetensors(folder_ / "a.safetensors", {all.begin(), middle});
  write_safetensors(folder_ / "b.safetensors", {middle, all.end()});
  write("model.safetensors.index.json", R"({"metadata":{"total_size":1},"weight_map":{)" + map + "}}");
  expect_loads();
  write_safetensors(folder_ / "b.safetensors", {middle + 1, all.end()});
  expect_load_refused(middle->name);
  fs::remove(folder_ / "b.safetensors");
  expect_load_refused("b.safetensors");
}

TEST_F(Weights, AreRefusedByNameWhenTheyDoNotFitTheModel) {
  expect_load_refused("neither");
  std::vector<TensorView> all = tensors();
  all.pop_back();
  write_safetensors(folder_ / "model.safetensors", all);
  expect_load_refused("\"lm_head.weight\" is missing");
  all = tensors();
  all.push_back(tensor_of("extra", {1}, memory_.views().all[0].value));
  write_safetensors(folder_ / "model.safetensors", all);
  expect_load_refused("\"extra\" is not part");
  all = tensors();
  std::swap(all[0].shape[0], all[0].shape[1]);
  write_safetensors(folder_ / "model.safetensors", all);
  expect_load_refused("has shape [16, 64]");
}

}  // namespace
}  // namespace millrace
