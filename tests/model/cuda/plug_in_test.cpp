// The plug-in as it was linked, with or without a driver and a card.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/device/cuda_plug_in.h"
#include "model/device/open_cuda.h"

namespace millrace {
namespace {

using testing::StartsWith;

void* plug_in() {
  void* opened = dlopen("libmillrace_cuda.so", RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(opened, nullptr) << dlerror();
  return opened;
}

TEST(CudaPlugIn, LiesBesideTheProgramAndIsOfItsBuild) {
  auto* interface_of = reinterpret_cast<CudaInterface*>(dlsym(plug_in(), kCudaInterfaceName));
  ASSERT_NE(interface_of, nullptr);
  EXPECT_EQ(interface_of(), kCudaInterface);
}

TEST(CudaPlugIn, OpensWithoutADriverAndSaysThatCudaFindsNone) {
  auto* open = reinterpret_cast<OpenCuda*>(dlsym(plug_in(), kOpenCudaName));
  ASSERT_NE(open, nullptr);
  std::string reason;
  const std::unique_ptr<Device> device(open({Precision::bf16}, &reason));
  if (device != nullptr) {  // This machine has a card.
    EXPECT_EQ(device->precision(), Precision::bf16);
    return;
  }
  EXPECT_THAT(reason, StartsWith("the card cannot be found: CUDA's error "));
}

TEST(CudaPlugIn, RefusesF64) {
  auto* open = reinterpret_cast<OpenCuda*>(dlsym(plug_in(), kOpenCudaName));
  std::string reason;
  EXPECT_EQ(open({Precision::f64}, &reason), nullptr);
  EXPECT_EQ(reason, "cards compute in f32 and bf16, not in f64");
}

TEST(CudaPlugIn, IsReachedThroughADriverThatClaimsACard) {
  CudaParts parts;
  EXPECT_GE(parts.major, 12);
  parts.driver = "libcuda_stub_new.so";
  const OpenedCuda opened = open_cuda({Precision::f32}, parts);
  if (opened.device != nullptr) return;  // This machine has a card.
  EXPECT_THAT(opened.reason, StartsWith("the card cannot be found: CUDA's error "));
}

}  // namespace
}  // namespace millrace
