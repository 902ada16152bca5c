#include "trainer/weights/safetensors.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include "stages/errors.h"
#include "tests/property.h"

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
  /// Expects a refusal whose message contains `word`.
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
  expect_refused(file_of(R"({"w":{"dtype":"U8","shape":[4611686018427387904,2,0],"data_offsets":[0,0]}})", 0),
                 "overflows");
  expect_refused(file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "bytes 8 to 0");
  expect_refused(file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8), "data_offsets has 1");
  expect_refused(file_of("{\"w\xff\":{}}", 0), "not JSON");
  expect_refused(file_of(R"({"w":{"dtype":"F32","data_offsets":[0,8]}})", 8), "no shape");
  expect_refused(file_of(R"({"w":7})", 0), "object");
  expect_refused(file_of(R"({"__metadata__":{"a":1}})", 0), "not a string");
}

/// A name that sometimes needs JSON escaping.
rc::Gen<std::string> any_name() {
  return rc::gen::container<std::string>(rc::gen::oneOf(rc::gen::inRange<char>(' ', '\x7f'), rc::gen::element('\n')));
}

/// Tensors of random types, shapes and bytes.
struct AnyTensors {
  std::vector<TensorView> views;
  std::vector<std::string> bytes;

  AnyTensors() {
    const auto names = *rc::gen::unique<std::vector<std::string>>(
        rc::gen::suchThat(any_name(), [](const std::string& name) { return name != "__metadata__"; }));
    bytes.reserve(names.size());
    for (const std::string& name : names) {
      const auto type = static_cast<TensorType>(*rc::gen::inRange(0, 13));
      TensorView view{name, type, *rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange(0, 4)), nullptr};
      if (view.shape.size() > 5) view.shape.resize(5);
      bytes.push_back(*rc::gen::container<std::string>(view.bytes(), rc::gen::arbitrary<char>()));
      view.data = reinterpret_cast<const std::byte*>(bytes.back().data());
      views.push_back(view);
    }
  }
};

TEST_F(Safetensors, ReadsBackWhateverItWrote) {
  expect_holds(300, [&] {
    const AnyTensors any;
    const std::map<std::string, std::string> metadata{{*any_name(), *any_name()}};
    write_safetensors(folder_ / "any", any.views, metadata);
    const SafetensorsFile file(folder_ / "any");
    RC_ASSERT(file.metadata() == metadata);
    RC_ASSERT(file.tensors().size() == any.views.size());
    for (std::size_t i = 0; i < any.views.size(); ++i) {
      const TensorView& tensor = file.tensor(any.views[i].name);
      RC_ASSERT(tensor.type == any.views[i].type);
      RC_ASSERT(tensor.shape == any.views[i].shape);
      const std::string stored(reinterpret_cast<const char*>(tensor.data), tensor.bytes());
      RC_ASSERT(stored == any.bytes[i]);
    }
  });
}

TEST_F(Safetensors, RefusesAFileThatWasCutAnywhere) {
  const float values[] = {1, 2, 3};
  write_safetensors(folder_ / "whole", {tensor_of("w", {3}, values), tensor_of("v", {1}, values)});
  const std::string whole = read(folder_ / "whole");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(SafetensorsFile{write("cut", whole.substr(0, size))}, ConfigError) << size;
  }
  EXPECT_THROW(SafetensorsFile{write("longer", whole + '\0')}, ConfigError);
}

TEST_F(Safetensors, RefusesDamageOrStaysWithinTheFile) {
  const std::string whole = file_of(
      R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})",
      11);
  expect_holds(2000, [&] {
    std::string bytes = whole;
    for (int change = *rc::gen::inRange(1, 6); change > 0; --change) {
      bytes[*rc::gen::inRange<std::size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
    }
    const fs::path path = write("damaged", bytes);
    try {
      const SafetensorsFile file(path);
      std::size_t covered = 0;
      for (const TensorView& tensor : file.tensors()) covered += tensor.bytes();
      RC_ASSERT(covered < bytes.size() - 8);
    } catch (const ConfigError& error) {
      RC_ASSERT(std::string(error.what()).find("damaged") != std::string::npos);
    }
  });
}

}  // namespace
}  // namespace millrace
