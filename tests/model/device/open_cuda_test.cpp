#include "model/device/open_cuda.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// Parts made for the tests: a driver for CUDA 13.0 with a card, and a plug-in of this build, but for what is given.
CudaParts parts(const std::string& driver = "card", const std::string& plug_in = "plug_in") {
  CudaParts made;
  made.major = 13;
  made.driver = "libcuda_stub_" + driver + ".so";
  made.plug_in = "libmillrace_cuda_stub_" + plug_in + ".so";
  return made;
}

std::string reason_of(const CudaParts& parts) {
  const OpenedCuda opened = open_cuda({Precision::bf16}, parts);
  EXPECT_EQ(opened.device, nullptr);
  return opened.reason;
}

TEST(OpenCuda, OpensTheDeviceOfThePlugInWhereTheDriverHasACard) {
  const OpenedCuda opened = open_cuda({Precision::bf16}, parts());
  ASSERT_NE(opened.device, nullptr) << opened.reason;
  EXPECT_EQ(opened.reason, "");
  EXPECT_EQ(opened.device->precision(), Precision::bf16);
  EXPECT_EQ(opened.device->name(), "a device that only counts memory");
}

TEST(OpenCuda, SaysThatItWasBuiltWithoutBeforeItAsksForADriver) {
  CudaParts none = parts("that_is_not_there");
  none.major = 0;
  EXPECT_THAT(reason_of(none), HasSubstr("built without CUDA: run scripts/deps.sh cuda"));
}

TEST(OpenCuda, SaysWhatTheDriverLacks) {
  EXPECT_THAT(reason_of(parts("that_is_not_there")),
              StartsWith("no NVIDIA driver: libcuda_stub_that_is_not_there.so: cannot open shared object file"));
  CudaParts other_library = parts();
  other_library.driver = "libmillrace_cuda_stub_plug_in.so";
  EXPECT_EQ(reason_of(other_library), "no NVIDIA driver: libmillrace_cuda_stub_plug_in.so is there, but is none");
  EXPECT_EQ(
      reason_of(parts("old")),
      "the NVIDIA driver is too old: it runs CUDA up to 12.4, and this millrace needs 13.0; install a newer driver");
  const std::string no_card = "the NVIDIA driver sees no card; CUDA_VISIBLE_DEVICES, if it is set, must name one";
  EXPECT_EQ(reason_of(parts("no_card")), no_card);
  EXPECT_EQ(reason_of(parts("no_device")), no_card);
  EXPECT_EQ(reason_of(parts("broken")),
            "the NVIDIA driver does not start (error 803, system has unsupported display driver / cuda driver "
            "combination)");
}

TEST(OpenCuda, TakesADriverOfTheSameMajorVersionOrANewerOne) {
  CudaParts older = parts("old");
  older.major = 12;
  EXPECT_NE(open_cuda({Precision::bf16}, older).device, nullptr);
  EXPECT_NE(open_cuda({Precision::bf16}, parts("new")).device, nullptr);
}

TEST(OpenCuda, SaysWhatIsWrongWithThePlugIn) {
  EXPECT_THAT(reason_of(parts("card", "that_is_not_there")),
              StartsWith("the plug-in for NVIDIA cards does not open: libmillrace_cuda_stub_that_is_not_there.so: "));
  const std::string another = " belongs to another build of millrace: build both, and keep them together";
  EXPECT_EQ(reason_of(parts("card", "other_build")), "libmillrace_cuda_stub_other_build.so" + another);
  CudaParts no_plug_in = parts();
  no_plug_in.plug_in = "libcuda_stub_card.so";
  EXPECT_EQ(reason_of(no_plug_in), "libcuda_stub_card.so" + another);
}

TEST(OpenCuda, HandsOnWhyThePlugInOpensNoDevice) {
  const OpenedCuda opened = open_cuda({Precision::f32}, parts());
  EXPECT_EQ(opened.device, nullptr);
  EXPECT_EQ(opened.reason, "this card has no f32");
}

}  // namespace
}  // namespace millrace
