#include "trainer/weights/weights.h"

#include <algorithm>

#include <gmock/gmock.h>

#include "tests/trainer/weights/weights_fixture.h"
#include "trainer/weights/tensor_files.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class Weights : public WeightsTest {
 protected:
  void expect_loads() {
    Memory other(device_, config_, Memory::Gradients::none);
    load_parameters(device_, folder_.path(), other.views());
    expect_same_numbers(other.views());
  }
  /// The error of load_parameters for the folder; checks that nothing was loaded.
  std::string refusal() {
    Memory other(device_, config_, Memory::Gradients::none);
    try {
      load_parameters(device_, folder_.path(), other.views());
    } catch (const ConfigError& error) {
      for (const Parameter& parameter : other.views().all)
        EXPECT_EQ(std::ranges::count(floats_of(parameter.value), 0.0F), parameter.spec.size());
      return error.what();
    }
    return "accepted";
  }
};

TEST_F(Weights, LoadWhatWasSaved) {
  write_tensor_files(folder_.path(), kModelFiles, tensors(), append_from_memory);
  expect_loads();
}

TEST_F(Weights, LoadFromShardsNamedByAnIndex) {
  write_shards(5);
  expect_loads();
}

TEST_F(Weights, OfAShardThatIsMissingAreRefused) {
  write_shards(5);
  fs::remove(file("model-2.safetensors"));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("index.json"), HasSubstr("names model-2.safetensors, which is not there")));
}

TEST_F(Weights, BesideAShardThatTheIndexDoesNotNameAreRefused) {
  write_shards(5);
  fs::copy_file(file("model-2.safetensors"), file("model-3.safetensors"));
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("model-3.safetensors"), HasSubstr("does not name"), HasSubstr("model-1.safetensors")));
}

TEST_F(Weights, ThatTheIndexPutsElsewhereAreRefused) {
  write_shards(5);
  const std::vector<TensorView> all = tensors();
  const auto shard = [&](auto from, auto to) { write_safetensors(file("model-2.safetensors"), {from, to}); };
  shard(all.begin() + 6, all.end());
  EXPECT_THAT(refusal(), AllOf(HasSubstr(all[5].name), HasSubstr("model-2.safetensors"), HasSubstr("is not in it")));
  shard(all.begin() + 4, all.end());
  EXPECT_THAT(refusal(), AllOf(HasSubstr(all[4].name), HasSubstr("says it is in model-1.safetensors")));
  write_shards(5);
  write_index("\"lm_head.weight\":\"model-2.safetensors\"");
  fs::remove(file("model-1.safetensors"));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("is in it, but not in model.safetensors.index.json")));
}

TEST_F(Weights, OfAnIndexThatIsNoneAreRefused) {
  const auto refusal_of = [&](const std::string& index) {
    folder_.write("model.safetensors.index.json", index);
    return refusal();
  };
  EXPECT_THAT(refusal_of("{"), HasSubstr("not JSON"));
  EXPECT_THAT(refusal_of("[]"), HasSubstr("weight_map"));
  EXPECT_THAT(refusal_of(R"({"weight_map":{"w":1}})"), HasSubstr("weight_map.w is 1, expected a text"));
  EXPECT_THAT(refusal_of(R"({"weight_map":{"w":"../w"}})"), HasSubstr("not a file beside the index"));
}

TEST_F(Weights, AreRefusedByNameWhenTheyDoNotFitTheModel) {
  EXPECT_THAT(refusal(), HasSubstr("neither model.safetensors nor"));
  std::vector<TensorView> all = tensors();
  all.pop_back();
  write_single(all);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("\"lm_head.weight\" is missing"), HasSubstr("[64, 16]")));
  all = tensors();
  all.push_back(tensor_of("extra", {1}, floats_of(memory_.views().all[0].value).data()));
  write_single(all);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("\"extra\" is not part"), HasSubstr("model.safetensors")));
  all = tensors();
  std::swap(all.back().shape[0], all.back().shape[1]);
  write_single(all);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("\"lm_head.weight\" has shape [16, 64]"), HasSubstr("needs [64, 16]")));
  all = tensors();
  all.back().type = TensorType::i32;
  write_single(all);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("\"lm_head.weight\" is I32"), HasSubstr("expected F32 or BF16")));
}

TEST_F(Weights, OfPyTorchAreRefusedSayingHowToConvertThem) {
  folder_.write("pytorch_model-00001-of-00002.bin", "PK\x03\x04 and more");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("pytorch_model-00001-of-00002.bin"), HasSubstr("millrace import")));
  folder_.write("model.safetensors", "PK\x03\x04 and more");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("model.safetensors: a PyTorch file"), HasSubstr("millrace import")));
  folder_.write("model.safetensors", "\x80\x02\x8a\x0a and more");
  EXPECT_THAT(refusal(), HasSubstr("a PyTorch file"));
}

}  // namespace
}  // namespace millrace
