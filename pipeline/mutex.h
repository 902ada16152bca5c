#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

/// Locks that clang's -Wthread-safety can check: libstdc++'s own carry no annotations.
#if defined(__clang__)
#define MILLRACE_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define MILLRACE_THREAD_ATTRIBUTE(x)
#endif
#define GUARDED_BY(mutex) MILLRACE_THREAD_ATTRIBUTE(guarded_by(mutex))

namespace millrace {

class MILLRACE_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  void lock() MILLRACE_THREAD_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void unlock() MILLRACE_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class MILLRACE_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) MILLRACE_THREAD_ATTRIBUTE(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() MILLRACE_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits on a Mutex that a MutexLock of the caller holds.
class Condition {
 public:
  void wait(Mutex& mutex) { condition_.wait(mutex); }
  void wait_for(Mutex& mutex, std::chrono::milliseconds at_most) { condition_.wait_for(mutex, at_most); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable_any condition_;
};

}  // namespace millrace
