#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/distributed/activity.h"

namespace millrace {

/// The five things that ranks do with each other.
enum class Operation : std::uint8_t { all_to_all, all_gather, send, receive, broadcast };
inline constexpr std::array<const char*, 5> kOperationNames{"all_to_all", "all_gather", "send", "receive", "broadcast"};

/// What went over a communicator so far. What a rank has for itself does not count.
struct Traffic {
  struct Count {
    std::uint64_t begun = 0;
    std::uint64_t sent = 0, received = 0;  ///< Bytes. Of a broadcast: sent once by its root, whoever passes it on.
    double waited = 0;                     ///< Seconds in wait().
  };
  std::array<Count, kOperationNames.size()> by_operation{};

  const Count& of(Operation operation) const { return by_operation[static_cast<std::size_t>(operation)]; }
  Count& of(Operation operation) { return by_operation[static_cast<std::size_t>(operation)]; }
};

/// Something that was begun.
using Pending = std::uint64_t;

/// Ranks that work together. Moves bytes and never adds numbers, so that no result depends on the engine, the number of
/// ranks or a message's size. The ranks of a group begin the same all_to_all, all_gather and broadcast in the same
/// order, and any two of them their messages to each other, each from one thread. What is begun goes on by itself, or
/// while its rank waits for anything; buffers must stay as they are until wait(). Each Pending is waited for once. A
/// rank's failure ends the job, and throws nothing here.
class Communicator {
 public:
  using In = std::span<const std::byte>;
  using Out = std::span<std::byte>;

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// The ranks of the same `color`, in the order of their keys. All ranks call it.
  virtual std::unique_ptr<Communicator> group(int color, int key) = 0;

  virtual Pending all_to_all(std::span<const In> to, std::span<const Out> from) = 0;  ///< [i]: to and from rank i.
  virtual Pending all_gather(In mine, std::span<const Out> all) = 0;                  ///< [i]: what rank i gave.
  virtual Pending send(In bytes, int to) = 0;
  virtual Pending receive(Out bytes, int from) = 0;
  virtual Pending broadcast(Out bytes, int from) = 0;
  virtual void wait(Pending begun) = 0;

  virtual const Traffic& traffic() const = 0;  ///< Of this rank, here and in all groups.
  /// What this rank does with the others, as those say who use this.
  Activity& activity() { return activity_; }
  const Activity& activity() const { return activity_; }
  /// The ranks, as the whole job numbers them, that the oldest unfinished work still waits for. Any thread.
  virtual std::vector<int> awaited() const = 0;

 private:
  Activity activity_;
};

/// The bytes of a value without pointers, or of several.
template <class Value>
std::span<const std::byte> bytes_of_value(const Value& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <class Value>
std::span<std::byte> writable_bytes_of_value(Value& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace millrace
