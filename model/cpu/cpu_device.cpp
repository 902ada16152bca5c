#include "model/cpu/cpu_device.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "model/lanes/team.h"
#include "model/parallel.h"

namespace millrace {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr Index kGrain = 1 << 18;  ///< Bytes.

/// On all threads.
void copy(void* to, const void* from, std::size_t bytes) {
  for_ranges(static_cast<Index>(bytes), kGrain, [&](Index begin, Index end) {
    std::memcpy(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

template <class Numbers, class Kernel>
void run_blocks(const Kernel& kernel, Index blocks) {
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (Index block = 0; block < blocks; ++block) kernel.template operator()<Numbers>(SerialTeam{}, block);
}

template <class Kernel>
void run_in(Precision precision, const Kernel& kernel, Index blocks) {
  switch (precision) {
    case Precision::f32:
      return run_blocks<NumbersOf<Precision::f32>>(kernel, blocks);
    case Precision::bf16:
      return run_blocks<NumbersOf<Precision::bf16>>(kernel, blocks);
    case Precision::f64:
      return run_blocks<NumbersOf<Precision::f64>>(kernel, blocks);
  }
}

}  // namespace

CpuDevice::CpuDevice(Precision precision, ProductSource source)
    : precision_(precision), source_(is_built_with_onednn() ? source : ProductSource::loops), products_(source_) {}

CpuDevice::~CpuDevice() = default;

std::string CpuDevice::name() const {
  return source_ == ProductSource::onednn ? "processor, products of oneDNN" : "processor, products of plain loops";
}

void* CpuDevice::allocate(std::size_t bytes) {
  void* memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void CpuDevice::release(void* memory) {
  std::free(memory);
}

/// On all threads: the first write to a page is what allocates it, near the thread that writes.
void CpuDevice::clear(void* memory, std::size_t bytes) {
  auto* first = static_cast<std::byte*>(memory);
  for_ranges(static_cast<Index>(bytes), kGrain,
             [&](Index begin, Index end) { std::memset(first + begin, 0, static_cast<std::size_t>(end - begin)); });
}

void CpuDevice::to_device(void* to, const void* from, std::size_t bytes) {
  copy(to, from, bytes);
}

void CpuDevice::to_host(void* to, const void* from, std::size_t bytes) {
  copy(to, from, bytes);
}

void CpuDevice::run(const AnyKernel& kernel, Index blocks) {
  std::visit([&](const auto& one) { run_in(precision_, one, blocks); }, kernel);
}

}  // namespace millrace
