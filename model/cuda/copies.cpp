#include "model/cuda/copies.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace millrace {

Staging::Staging(cudaStream_t stream) : stream_(stream) {
  void* memory = nullptr;
  demand(cudaMallocHost(&memory, kParts * kPartBytes), "get memory of the host that it may read");
  memory_ = static_cast<std::byte*>(memory);
}

Staging::~Staging() {
  cudaStreamSynchronize(stream_);
  cudaFreeHost(memory_);
}

void Staging::copy(void* to, const void* from, std::size_t bytes) {
  auto* there = static_cast<std::byte*>(to);
  const auto* here = static_cast<const std::byte*>(from);
  while (bytes > 0) {
    if (used_ == kPartBytes) {
      read_[part_].record(stream_);
      part_ = (part_ + 1) % kParts;
      used_ = 0;
      read_[part_].wait();
    }
    const std::size_t count = std::min(bytes, kPartBytes - used_);
    std::byte* place = memory_ + part_ * kPartBytes + used_;
    std::memcpy(place, here, count);
    demand(cudaMemcpyAsync(there, place, count, cudaMemcpyHostToDevice, stream_), "be written to");
    used_ += count;
    there += count;
    here += count;
    bytes -= count;
  }
}

Returning::Returning(cudaStream_t stream) : stream_(stream) {
  void* memory = nullptr;
  demand(cudaMallocHost(&memory, kBytes), "get memory of the host that it may write");
  memory_ = static_cast<std::byte*>(memory);
}

Returning::~Returning() {
  cudaStreamSynchronize(stream_);
  cudaFreeHost(memory_);
}

void Returning::copy(void* to, const void* from, std::size_t bytes) {
  const bool is_long = bytes > kPieceBytes;
  auto* here = static_cast<std::byte*>(to);
  const auto* there = static_cast<const std::byte*>(from);
  while (bytes > 0) {
    const std::size_t count = std::min(bytes, kPieceBytes);
    const std::size_t place = room(count);
    demand(cudaMemcpyAsync(memory_ + place, there, count, cudaMemcpyDeviceToHost, stream_), "be read from");
    coming_.push_back({here, place, count, last_ + 1});
    next_ = place + count;
    here += count;
    there += count;
    bytes -= count;
    if (is_long) moment();
  }
}

std::size_t Returning::room(std::size_t bytes) {
  const std::size_t place = next_ + bytes <= kBytes ? next_ : 0;
  const auto is_in_the_way = [&](const Coming& one) {
    return one.place < place + bytes && place < one.place + one.bytes;
  };
  for (;;) {
    const auto found = std::ranges::find_if(coming_, is_in_the_way);
    if (found == coming_.end()) return place;
    if (found->moment > last_) moment();
    wait_for(found->moment);
  }
}

std::uint64_t Returning::moment() {
  ++last_;
  events_[last_ % events_.size()].record(stream_);
  return last_;
}

void Returning::wait_for(std::uint64_t moment) {
  if (moment > last_) throw std::logic_error("a moment that is still to come");
  events_[moment % events_.size()].wait();
  hand_on(moment);
}

void Returning::wait() {
  demand(cudaStreamSynchronize(stream_), "finish its work");
  hand_on(last_ + 1);
}

void Returning::hand_on(std::uint64_t moment) {
  for (; !coming_.empty() && coming_.front().moment <= moment; coming_.pop_front())
    std::memcpy(coming_.front().to, memory_ + coming_.front().place, coming_.front().bytes);
}

}  // namespace millrace
