#include "model/cuda/cuda_device.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <typeinfo>
#include <variant>

#include <cudnn_graph.h>

#include "model/cuda/captured_work.h"
#include "model/cuda/cuda_error.h"
#include "model/cuda/launch.h"

namespace millrace {
namespace {

constexpr std::size_t kLeastCudnn = 91200;  ///< 9.12: the first for CUDA 13.

/// CUDA and its driver count 1000 major + 10 minor, the libraries on it 10000 major + 100 minor.
std::string version_text(std::size_t version, std::size_t major) {
  return std::to_string(version / major) + "." + std::to_string(version % major * 100 / major);
}

std::string gigabytes(std::size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f GB", static_cast<double>(bytes) / 1e9);
  return text;
}

/// Chooses the first card. The name is for people, and tells what results depend on.
std::string choose_card() {
  int cards = 0;
  demand(cudaGetDeviceCount(&cards), "be found");
  if (cards == 0) throw std::runtime_error("CUDA sees no card");
  cudaDeviceProp card{};
  demand(cudaSetDevice(0), "be used");
  demand(cudaGetDeviceProperties(&card, 0), "be asked what it is");
  const std::string what = std::string(card.name) + " (compute capability " + std::to_string(card.major) + "." +
                           std::to_string(card.minor) + ")";
  if (kernels_fit_the_card() != cudaSuccess) {
    cudaGetLastError();
    throw std::runtime_error("this millrace was not compiled for the card " + what + ": configure with " +
                             "-DCMAKE_CUDA_ARCHITECTURES=" + std::to_string(card.major) + std::to_string(card.minor) +
                             " and build again");
  }
  int driver = 0;
  int runtime = 0;
  demand(cudaDriverGetVersion(&driver), "tell its driver's version");
  demand(cudaRuntimeGetVersion(&runtime), "tell CUDA's version");
  return what + ", driver for CUDA " + version_text(static_cast<std::size_t>(driver), 1000) + ", CUDA " +
         version_text(static_cast<std::size_t>(runtime), 1000) + ", cuBLASLt " +
         version_text(cublasLtGetVersion(), 10000) + ", cuDNN " + version_text(cudnnGetVersion(), 10000);
}

}  // namespace

CudaDevice::CudaDevice(const DeviceSettings& settings) : precision_(settings.precision) {
  if (precision_ == Precision::f64) throw std::runtime_error("cards compute in f32 and bf16, not in f64");
  if (cudnnGetVersion() < kLeastCudnn)
    throw std::runtime_error("cuDNN " + version_text(cudnnGetVersion(), 10000) +
                             " is too old, 9.12 or later is needed");
  name_ = choose_card();
  cudaStream_t stream = nullptr;
  demand(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "take work");
  stream_.reset(stream);
  products_ = std::make_unique<CublasProducts>(stream);
  staging_ = std::make_unique<Staging>(stream);
  returning_ = std::make_unique<Returning>(stream);
  attention_ = std::make_unique<CudnnAttention>(*this, stream, settings.deterministic);
}

CudaDevice::~CudaDevice() = default;

void* CudaDevice::allocate(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, std::max<std::size_t>(bytes, 1));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // It is no error of what comes next.
    std::size_t free = 0;
    std::size_t all = 0;
    demand(cudaMemGetInfo(&free, &all), "tell its free memory");
    throw std::runtime_error("the card has too little memory: " + gigabytes(bytes) + " were asked for, " +
                             gigabytes(used_) + " are in use by millrace, " + gigabytes(free) + " of " +
                             gigabytes(all) + " are free");
  }
  demand(error, "give memory");
  sizes_[memory] = bytes;
  used_ += bytes;
  return memory;
}

void CudaDevice::release(void* memory) {
  const auto found = sizes_.find(memory);
  used_ -= found->second;
  ++releases_;
  sizes_.erase(found);
  cudaFree(memory);  // Waits. An error of earlier work, which it may return, shows in the next call that can fail.
}

void CudaDevice::clear(void* memory, std::size_t bytes) {
  demand(cudaMemsetAsync(memory, 0, bytes, stream_.get()), "clear memory");
}

void CudaDevice::to_device(void* to, const void* from, std::size_t bytes) {
  if (is_recording_) throw std::logic_error("copies to a card are not recorded");
  staging_->copy(to, from, bytes);
}

void CudaDevice::to_host_later(void* to, const void* from, std::size_t bytes) {
  if (is_recording_) throw std::logic_error("copies from a card are not recorded");
  returning_->copy(to, from, bytes);
}

void CudaDevice::to_host(void* to, const void* from, std::size_t bytes) {
  to_host_later(to, from, bytes);
  wait();
}

void CudaDevice::run(const AnyKernel& kernel, Index blocks) {
  if (blocks == 0) return;
  if (blocks > std::numeric_limits<int>::max())
    throw std::logic_error("a card takes no kernel of " + std::to_string(blocks) + " blocks");
  std::visit(
      [&](const auto& one) {
        const cudaError_t error = launch(one, precision_, blocks, stream_.get());
        if (error != cudaSuccess) demand(error, std::string("run ") + typeid(one).name());
      },
      kernel);
}

void CudaDevice::multiply(const Product& product) {
  check(product);
  if (has_few_rows(product)) return multiply_few_rows(*this, product);
  if (product.ragged != Product::Ragged::none || product.a.type == Type::f64)
    throw std::logic_error("cards do not multiply in f64, nor what is ragged and has many rows: " + shape_of(product));
  products_->multiply(product);
}

std::unique_ptr<Recording> CudaDevice::record(std::function<void()> work) {
  struct Recorded {
    bool& is_recording;
    explicit Recorded(bool& flag) : is_recording(flag) { is_recording = true; }
    ~Recorded() { is_recording = false; }
    Recorded(const Recorded&) = delete;
    Recorded& operator=(const Recorded&) = delete;
  } const recorded(is_recording_);
  return std::make_unique<CapturedWork>(stream_.get(), work, releases_);
}

std::uint64_t CudaDevice::free_bytes() {
  std::size_t free = 0;
  std::size_t all = 0;
  demand(cudaMemGetInfo(&free, &all), "tell its free memory");
  return free;
}

}  // namespace millrace
