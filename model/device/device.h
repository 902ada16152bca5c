#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "model/bf16.h"
#include "model/device/attention_call.h"
#include "model/device/product.h"
#include "model/kernels/any_kernel.h"
#include "model/tensor.h"

namespace millrace {

/// What a device is made for.
struct DeviceSettings {
  Precision precision = Precision::f32;
  /// The same calls give the same bits. Without, a card may add up in the order in which numbers come, which is faster;
  /// a processor always keeps an order.
  bool deterministic = true;
};

/// At most so many positions, and so many logits of them in all.
struct LossChunk {
  Index rows = 1024;
  Index logits = Index{1} << 26;
};
/// On a card each chunk adds to the gradient of the whole vocabulary, in memory: few chunks read and write less.
inline constexpr LossChunk kLossChunkOfACard{4096, Index{1} << 30};

/// Work that a device was told of once, and does as often as it is asked.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Gives it to the device, which does it as everything else in its turn.
  virtual void play() = 0;
};

/// Memory and an ordered queue of work on it, in one precision. Work is done in the order in which it was given;
/// to_host() waits for it. The same calls give the same bits on one kind of device, which name() tells, unless its
/// settings let it do otherwise. One calling thread. Errors: std::bad_alloc or a message with what was asked for, used
/// and free; Stopped (stop.h) from long work.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string name() const = 0;
  virtual Precision precision() const = 0;
  Type real() const { return real_type(precision()); }
  Type low() const { return low_type(precision()); }

  virtual void* allocate(std::size_t bytes) = 0;  ///< 256-byte aligned. Its contents are undefined.
  virtual void release(void* memory) = 0;
  virtual void clear(void* memory, std::size_t bytes) = 0;  ///< Zeros.
  virtual void to_device(void* to, const void* from, std::size_t bytes) = 0;
  virtual void to_host(void* to, const void* from, std::size_t bytes) = 0;
  /// As to_host(), but it does not wait: `to` may be read once a later moment() was waited for.
  virtual void to_host_later(void* to, const void* from, std::size_t bytes) { to_host(to, from, bytes); }

  virtual void run(const AnyKernel& kernel, Index blocks) = 0;
  virtual void multiply(const Product& product) = 0;
  virtual void attend(const AttentionCall& call) = 0;
  virtual void attend_backward(const AttentionGradient& call) = 0;
  /// Why it cannot attend_backward() for `rows` rows of `length`, and what it could do instead; empty: it can.
  virtual std::string fault_of_attend_backward(Index /*rows*/, Index /*length*/, Index /*heads*/, Index /*width*/) {
    return {};
  }

  /// What `work` gives the device, to be played: the same kernels and products, on the same memory, whose contents are
  /// what they are by then. `work` allocates and releases nothing, copies nothing from or to the host, waits for
  /// nothing, and stays valid as long as the recording; the device outlives both. It is called once, now, or by a
  /// device to which that makes no difference, each time.
  virtual std::unique_ptr<Recording> record(std::function<void()> work);

  /// How many positions' logits the head makes at once.
  virtual LossChunk loss_chunk() const { return {}; }
  /// Whether experts' places may lie close together: products then read how many there are from memory.
  virtual bool has_ragged_products() const = 0;
  /// Whether they may do so where no gradient is made, for so many rows of all experts together.
  virtual bool takes_ragged_rows(Index /*rows*/) const { return has_ragged_products(); }
  /// Whether tensors may lie in this process's memory, mapped files among it.
  virtual bool reads_host_memory() const { return false; }
  /// Bytes of its own memory that are free; 0: it takes the process's.
  virtual std::uint64_t free_bytes() { return 0; }
  /// When all work that was given so far is done.
  using Moment = std::uint64_t;
  virtual Moment moment() { return 0; }
  virtual void wait_for(Moment /*moment*/) { wait(); }
  virtual void wait() = 0;
};

}  // namespace millrace
