#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "trainer/distributed/communicator.h"

namespace millrace {

/// A rank that is alone: copies what it has for itself, at once.
class OneRank : public Communicator {
 public:
  OneRank() : OneRank(std::make_shared<Traffic>()) {}
  explicit OneRank(std::shared_ptr<Traffic> traffic) : traffic_(std::move(traffic)) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::unique_ptr<Communicator> group(int /*color*/, int /*key*/) override {
    return std::make_unique<OneRank>(traffic_);
  }

  Pending all_to_all(std::span<const In> to, std::span<const Out> from) override;
  Pending all_gather(In mine, std::span<const Out> all) override;
  /// Throw std::logic_error: there is nobody else.
  Pending send(In bytes, int to) override;
  Pending receive(Out bytes, int from) override;
  Pending broadcast(Out bytes, int from) override;
  void wait(Pending /*begun*/) override {}

  const Traffic& traffic() const override { return *traffic_; }
  std::vector<int> awaited() const override { return {}; }

 private:
  std::shared_ptr<Traffic> traffic_;
};

/// Copies what a rank has for itself. Throws std::logic_error if it expects another number of bytes.
void copy_own(Communicator::In from, Communicator::Out to);

}  // namespace millrace
