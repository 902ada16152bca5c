#include "trainer/weights/tensor_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>
#include <rapidcheck.h>

#include "tests/trainer/weights/weights_fixture.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::vector<std::vector<std::string>> names_in(const std::vector<TensorFile>& files) {
  std::vector<std::vector<std::string>> names;
  for (const TensorFile& file : files) {
    names.emplace_back();
    for (const TensorView& tensor : file.tensors) names.back().push_back(tensor.name);
  }
  return names;
}

std::vector<TensorView> tensors_of_sizes(const std::vector<int>& sizes, const float* data) {
  std::vector<TensorView> tensors;
  for (std::size_t i = 0; i < sizes.size(); ++i) tensors.push_back(tensor_of(fmt::format("t{}", i), {sizes[i]}, data));
  return tensors;
}

std::uint64_t bytes_of(const TensorFile& file) {
  std::uint64_t sum = 0;
  for (const TensorView& tensor : file.tensors) sum += tensor.bytes();
  return sum;
}

TEST(CutIntoFiles, KeepsTheOrderAndOpensAFileWhereTheNextTensorDoesNotFit) {
  EXPECT_TRUE(rc::check([] {
    const auto sizes =
        *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 50))).as("numbers of each tensor");
    const auto most = *rc::gen::inRange<std::uint64_t>(1, 400).as("most bytes");
    const float one = 1;
    const std::vector<TensorView> tensors = tensors_of_sizes(sizes, nullptr);
    const std::vector<TensorFile> files = cut_into_files(kModelFiles, tensors, most);
    std::vector<std::string> all;
    for (const auto& names : names_in(files)) all.insert(all.end(), names.begin(), names.end());
    RC_ASSERT(all.size() == tensors.size());
    for (std::size_t i = 0; i < all.size(); ++i) RC_ASSERT(all[i] == tensors[i].name);
    for (std::size_t i = 0; i < files.size(); ++i) {
      RC_ASSERT(!files[i].tensors.empty());
      RC_ASSERT(files[i].tensors.size() == 1 || bytes_of(files[i]) <= most);
      if (i > 0) RC_ASSERT(bytes_of(files[i - 1]) + files[i].tensors.front().bytes() > most);
      RC_ASSERT(files[i].name == (files.size() == 1
                                      ? "model.safetensors"
                                      : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, files.size())));
    }
    // Of names and shapes alone, not of where the numbers lie.
    RC_ASSERT(names_in(cut_into_files(kModelFiles, tensors_of_sizes(sizes, &one), most)) == names_in(files));
  }));
}

TEST(CutIntoFiles, PutsAllThatFitsIntoOne) {
  const std::vector<TensorView> tensors = tensors_of_sizes({10, 10, 100, 5}, nullptr);
  using Names = std::vector<std::vector<std::string>>;
  EXPECT_EQ(names_in(cut_into_files(kModelFiles, tensors)), (Names{{"t0", "t1", "t2", "t3"}}));
  EXPECT_EQ(names_in(cut_into_files(kModelFiles, tensors, 500)), (Names{{"t0", "t1", "t2", "t3"}}));
  EXPECT_EQ(names_in(cut_into_files(kModelFiles, tensors, 499)), (Names{{"t0", "t1", "t2"}, {"t3"}}));
  EXPECT_EQ(names_in(cut_into_files(kModelFiles, tensors, 80)), (Names{{"t0", "t1"}, {"t2"}, {"t3"}}));
  EXPECT_EQ(cut_into_files(kOptimizerFiles, {}).at(0).name, "optimizer.safetensors");
}

class TensorFilesTest : public WeightsTest {
 protected:
  void write(std::uint64_t most) const {
    write_tensor_files(folder_.path(), kModelFiles, tensors(), append_from_memory, most);
  }
  /// What is said of the folder.
  std::string refusal() const {
    try {
      const TensorFiles files(folder_.path(), kModelFiles);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  }
  fs::path index() const { return file("model.safetensors.index.json"); }
  nlohmann::ordered_json read_index() const {
    std::ifstream text(index());
    return nlohmann::ordered_json::parse(text);
  }
  std::vector<std::string> shards() const {
    std::vector<std::string> names;
    for (const TensorFile& cut : cut_into_files(kModelFiles, tensors(), kMost)) names.push_back(cut.name);
    return names;
  }

  static constexpr std::uint64_t kMost = 2048;
};

TEST_F(TensorFilesTest, ReadBackWhatWasWrittenAtAnyLimit) {
  for (const std::uint64_t most : {std::uint64_t{1}, kMost, std::uint64_t{8} << 10, kMostTensorBytes}) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path())) fs::remove(entry.path());
    write(most);
    const TensorFiles files(folder_.path(), kModelFiles);
    ASSERT_EQ(files.tensors().size(), tensors().size());
    std::uint64_t bytes = 0;
    for (const TensorView& tensor : tensors()) {
      const TensorView& read = files.tensor(tensor.name).tensor;
      EXPECT_EQ(read.shape, tensor.shape);
      EXPECT_EQ(std::memcmp(read.data, tensor.data, tensor.bytes()), 0) << tensor.name << " at " << most;
      bytes += tensor.bytes();
    }
    EXPECT_EQ(files.bytes(), bytes);
    EXPECT_EQ(fs::exists(index()), most < kMostTensorBytes) << most;
    EXPECT_EQ(fs::exists(file("model.safetensors")), most == kMostTensorBytes) << most;
  }
}

TEST_F(TensorFilesTest, HaveTheIndexOfHuggingFace) {
  write(kMost);
  std::uint64_t bytes = 0;
  for (const TensorView& tensor : tensors()) bytes += tensor.bytes();
  const nlohmann::ordered_json index = read_index();
  EXPECT_EQ(index.at("metadata").at("total_size"), bytes);
  EXPECT_EQ(index.at("weight_map").size(), tensors().size());
  ASSERT_GT(shards().size(), 3U);
  for (const TensorFile& cut : cut_into_files(kModelFiles, tensors(), kMost)) {
    EXPECT_EQ(SafetensorsFile(file(cut.name)).metadata().at("format"), "pt");
    for (const TensorView& tensor : cut.tensors) EXPECT_EQ(index.at("weight_map").at(tensor.name), cut.name);
  }
}

TEST_F(TensorFilesTest, AreRefusedByNameIfOneIsMissingOrTruncated) {
  write(kMost);
  const std::string second = shards().at(1);
  const auto size = fs::file_size(file(second));
  fs::resize_file(file(second), size - 1);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(second), HasSubstr("damaged safetensors file")));
  fs::resize_file(file(second), 3);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(second), HasSubstr("too short for a header's length")));
  fs::remove(file(second));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("index.json"), HasSubstr("names " + second + ", which is not there")));
  fs::remove(index());
  EXPECT_THAT(refusal(), HasSubstr("holds neither model.safetensors nor model.safetensors.index.json"));
}

TEST_F(TensorFilesTest, AreRefusedByNameIfTheIndexIsNotTheirs) {
  write(kMost);
  const nlohmann::ordered_json whole = read_index();
  // One of several of its file.
  const std::vector<TensorFile> files = cut_into_files(kModelFiles, tensors(), kMost);
  const auto several = std::ranges::find_if(files, [](const TensorFile& cut) { return cut.tensors.size() > 1; });
  ASSERT_NE(several, files.end());
  const std::string name = several->tensors.front().name;
  nlohmann::ordered_json index = whole;
  index.at("weight_map").erase(name);
  folder_.write("model.safetensors.index.json", index.dump());
  EXPECT_THAT(refusal(), AllOf(HasSubstr(several->name), HasSubstr("\"" + name + "\" is in it, but not in")));
  std::string twice = whole.dump();
  twice.insert(twice.find("\"weight_map\":{") + 14, fmt::format("\"{}\":\"{}\",", name, several->name));
  folder_.write("model.safetensors.index.json", twice);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("index.json"), HasSubstr("\"" + name + "\" twice")));
  index = whole;
  index.at("weight_map")["more"] = shards()[1];
  folder_.write("model.safetensors.index.json", index.dump());
  EXPECT_THAT(refusal(), AllOf(HasSubstr(shards()[1]), HasSubstr("\"more\" is not in it")));
}

}  // namespace
}  // namespace millrace
