#include "model/device/device.h"

#include <utility>

namespace millrace {
namespace {

class CalledEachTime : public Recording {
 public:
  explicit CalledEachTime(std::function<void()> work) : work_(std::move(work)) {}
  void play() override { work_(); }

 private:
  std::function<void()> work_;
};

}  // namespace

std::unique_ptr<Recording> Device::record(std::function<void()> work) {
  return std::make_unique<CalledEachTime>(std::move(work));
}

}  // namespace millrace
