#pragma once

#include <cstddef>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <utility>
#include <vector>

#include "model/cpu/cpu_device.h"

namespace millrace::test {

/// A processor that tells what was asked for by to_host_later() only when a moment behind it is waited for, as a card
/// does, and counts how often the host waits. Until then there are numbers that nobody should use.
class LaterDevice : public CpuDevice {
 public:
  using CpuDevice::CpuDevice;

  int waits() const { return waits_; }

  void to_host(void* to, const void* from, std::size_t bytes) override {
    to_host_later(to, from, bytes);
    wait();
  }
  void to_host_later(void* to, const void* from, std::size_t bytes) override {
    Coming coming{static_cast<std::byte*>(to), std::vector<std::byte>(bytes), last_ + 1};
    CpuDevice::to_host(coming.bytes.data(), from, bytes);
    std::memset(to, 0x7f, bytes);
    coming_.push_back(std::move(coming));
  }
  Moment moment() override { return ++last_; }
  void wait_for(Moment moment) override {
    if (moment > last_) throw std::logic_error("a moment that is still to come");
    ++waits_;
    hand_on(moment);
  }
  void wait() override {
    ++waits_;
    hand_on(last_ + 1);
  }

 private:
  struct Coming {
    std::byte* to;
    std::vector<std::byte> bytes;
    Moment moment;
  };
  void hand_on(Moment moment) {
    for (; !coming_.empty() && coming_.front().moment <= moment; coming_.pop_front())
      std::memcpy(coming_.front().to, coming_.front().bytes.data(), coming_.front().bytes.size());
  }

  std::deque<Coming> coming_;
  Moment last_ = 0;
  int waits_ = 0;
};

}  // namespace millrace::test
