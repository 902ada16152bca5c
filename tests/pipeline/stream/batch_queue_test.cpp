#include "pipeline/stream/batch_queue.h"

#include <atomic>
#include <future>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <gtest/gtest.h>

namespace millrace {
namespace {

using namespace std::chrono_literals;

Batch batch(std::uint64_t number) {
  Batch batch(1);
  batch[0].number = number;
  return batch;
}

TEST(BatchQueue, GivesBatchesInOrderAndThenTheEnd) {
  BatchQueue queue(2);
  queue.push(batch(0));
  queue.push(batch(1));
  queue.finish();
  EXPECT_EQ(queue.pop()->front().number, 0U);
  EXPECT_EQ(queue.pop()->front().number, 1U);
  EXPECT_FALSE(queue.pop().has_value());
}

TEST(BatchQueue, HoldsNoMoreThanItsCapacity) {
  BatchQueue queue(1);
  queue.push(batch(0));
  auto second = std::async(std::launch::async, [&] { return queue.push(batch(1)); });
  EXPECT_EQ(second.wait_for(50ms), std::future_status::timeout);
  queue.pop();
  EXPECT_TRUE(second.get());
}

TEST(BatchQueue, WakesAPusherThatWaitsWhenItIsStopped) {
  BatchQueue queue(1);
  queue.push(batch(0));
  auto second = std::async(std::launch::async, [&] { return queue.push(batch(1)); });
  queue.stop();
  EXPECT_FALSE(second.get());
  EXPECT_FALSE(queue.pop().has_value());
}

TEST(BatchQueue, WakesAPopperThatWaitsWhenTheGraphFails) {
  BatchQueue queue(1);
  auto popped = std::async(std::launch::async, [&] { return queue.pop(); });
  queue.fail(std::make_exception_ptr(std::runtime_error("broken")));
  EXPECT_THROW(popped.get(), std::runtime_error);
}

TEST(BatchQueue, EndsTheWaitOfAPopperThatIsInterrupted) {
  BatchQueue queue(1);
  std::atomic<bool> interrupted = false;
  auto popped = std::async(std::launch::async, [&] { return queue.pop([&] { return interrupted.load(); }); });
  interrupted = true;
  EXPECT_FALSE(popped.get().has_value());
  queue.push(batch(0));
  EXPECT_TRUE(queue.pop([] { return true; }).has_value()) << "what is there is handed out without a wait";
}

TEST(BatchQueue, IsStoppedByAThreadForWhoseLockThePopperWaits) {
  BatchQueue queue(1);
  std::mutex lock;
  std::promise<void> asked;
  std::unique_lock held(lock);
  auto popped = std::async(std::launch::async, [&] {
    return queue.pop([&, first = true]() mutable {
      if (std::exchange(first, false)) asked.set_value();
      const std::lock_guard mine(lock);
      return false;
    });
  });
  asked.get_future().wait();
  queue.stop();
  held.unlock();
  EXPECT_FALSE(popped.get().has_value());
}

TEST(BatchQueue, HandsOutWhatCameBeforeAFailure) {
  BatchQueue queue(2);
  queue.push(batch(0));
  queue.fail(std::make_exception_ptr(std::runtime_error("broken")));
  EXPECT_TRUE(queue.pop().has_value());
  EXPECT_THROW(queue.pop(), std::runtime_error);
}

}  // namespace
}  // namespace millrace
