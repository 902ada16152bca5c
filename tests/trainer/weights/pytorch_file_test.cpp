#include "trainer/weights/pytorch_file.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "stages/errors.h"
#include "tests/stored_zip.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

using namespace std::string_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// {"w": two rows of three numbers, the second storage element first}, as protocol 2 has it.
const std::string kDescription =
    "\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(("
    "X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
    "7X\x03\0\0\0cpuK\x07tQK\x01K\x02K\x03\x86K\x03K\x01\x86\x89Ntq\x00Rs."s;

class PyTorch : public testing::Test {
 protected:
  std::string archive(const std::string& pickle, std::size_t storage_bytes = 28) const {
    StoredZip zip;
    zip.add("archive/data.pkl", pickle);
    zip.add("archive/data/7", std::string(storage_bytes, '\x3f'));
    return zip.finished();
  }
  std::filesystem::path write(const std::string& bytes) const { return folder_.write("w.bin", bytes); }
  /// "accepted", or why not; every refusal begins with the file.
  std::string refusal(const std::string& bytes) const {
    try {
      PyTorchFile(write(bytes)).check([](std::uint64_t) {});
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), testing::StartsWith((folder_.path() / "w.bin").string()));
      return error.what();
    }
    return "accepted";
  }
  std::string refusal_of_pickle(const std::string& pickle) const { return refusal(archive(pickle)); }
  static std::string replaced(std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
  }

  TemporaryFolder folder_;
};

TEST_F(PyTorch, FilesAreReadAsTheirPickleDescribesThem) {
  const PyTorchFile file(write(archive(kDescription)));
  ASSERT_EQ(file.tensors().size(), 1U);
  const TensorView& tensor = file.tensors()[0];
  EXPECT_EQ(tensor.name, "w");
  EXPECT_EQ(tensor.type, TensorType::f32);
  EXPECT_THAT(tensor.shape, ElementsAre(2, 3));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(tensor.data), tensor.bytes()), std::string(24, '\x3f'));
  EXPECT_EQ(file.bytes(), 28U);
}

TEST_F(PyTorch, NamesThatDescribeNoTensorAreRefusedWithTheirByte) {
  const std::string evil = replaced(kDescription, "torch._utils\n_rebuild_tensor_v2", "os\nsystem");
  const std::string file = archive(evil);
  const std::size_t at = file.find("cos\nsystem");
  EXPECT_THAT(refusal(file), AllOf(HasSubstr("byte " + std::to_string(at) + ":"), HasSubstr("asks for os.system"),
                                   HasSubstr("nothing of it was run")));
  for (const char* name : {"torch\nload", "torch._utils\n_rebuild_tensor", "builtins\neval", "torch\nUntypedStorage"})
    EXPECT_THAT(refusal_of_pickle("\x80\x02"s + "c" + name + "\n."), HasSubstr("asks for")) << name;
}

TEST_F(PyTorch, WhatIsNoDictOfTensorsIsRefused) {
  EXPECT_THAT(refusal_of_pickle("\x80\x02]."), HasSubstr("is no dict"));
  EXPECT_THAT(refusal_of_pickle("\x80\x02}K\x01K\x02s."), HasSubstr("is no text"));
  EXPECT_THAT(refusal_of_pickle("\x80\x02}X\x01\0\0\0wNs."s), HasSubstr("\"w\" is no tensor"));
  EXPECT_THAT(refusal_of_pickle("\x80\x02}I1\n."), HasSubstr("the opcode 0x49"));
  EXPECT_THAT(refusal_of_pickle("\x80\x06}."), HasSubstr("protocol 6, expected one up to 5"));
  EXPECT_THAT(refusal_of_pickle("\x80\x02}h\x05."), HasSubstr("recalls value 5"));
  EXPECT_THAT(refusal_of_pickle("\x80\x02}"), HasSubstr("the pickle ends"));
  EXPECT_THAT(refusal_of_pickle("\x80\x02K\x01s."), HasSubstr("takes 2 values"));
  StoredZip empty;
  EXPECT_THAT(refusal(empty.finished()), HasSubstr("without data.pkl"));
}

TEST_F(PyTorch, TensorsThatDoNotFitTheirStorageAreRefused) {
  EXPECT_THAT(refusal(archive(kDescription, 24)), HasSubstr("expected at most the 6 that 24 bytes hold"));
  EXPECT_THAT(refusal_of_pickle(replaced(kDescription, "QK\x01", "QK\x02")),
              HasSubstr("elements 2 to 8 of a storage of 7"));
  EXPECT_THAT(refusal_of_pickle(replaced(kDescription, "K\x03K\x01\x86\x89", "K\x01K\x02\x86\x89")),
              HasSubstr("with strides [1, 2], expected it row-major"));
  EXPECT_THAT(refusal_of_pickle(replaced(kDescription,
                                         "X\x01\0\0\0"
                                         "7"s,
                                         "X\x01\0\0\0"
                                         "8"s)),
              HasSubstr("data/8, which is not"));
  const std::string huge =
      replaced(kDescription, "K\x02K\x03\x86", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x03\x86");
  EXPECT_THAT(refusal_of_pickle(huge), HasSubstr("overflows"));
}

TEST_F(PyTorch, FilesThatAreCutShortOrAltered) {
  const std::string good = archive(kDescription);
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(refusal(good.substr(0, size)), "accepted") << size << " bytes";
  std::string damaged = good;
  damaged[good.find(std::string(28, '\x3f')) + 5] ^= 1;
  EXPECT_THAT(refusal(damaged), AllOf(HasSubstr("archive/data/7 has the checksum"), HasSubstr("expected")));
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      damaged = good;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      refusal(damaged);  // Read or refused, within the file: AddressSanitizer sees.
    }
  }
}

TEST_F(PyTorch, OfAnOlderKindAreRefused) {
  EXPECT_THAT(refusal("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02"),
              HasSubstr("PyTorch 1.6 or later"));
}

}  // namespace
}  // namespace millrace
