#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "trainer/distributed/communicator.h"
#include "trainer/distributed/one_rank.h"

namespace millrace::test {

/// Thrown in the ranks that wait for one that failed.
struct OtherRankFailed : std::runtime_error {
  OtherRankFailed() : std::runtime_error("another rank failed") {}
};

/// Where the ranks of a job, threads of this process, meet. A message lies in its sender's memory until its receiver,
/// in some wait, takes it: so a buffer that is changed too early shows.
class Meeting {
 public:
  /// Ranks give up waiting.
  void fail() {
    const std::unique_lock lock(mutex_);
    failed_ = true;
    changed_.notify_all();
  }

 private:
  friend class ThreadRank;
  struct Letter {
    Communicator::In bytes;
    bool taken = false;
  };
  /// Of one group: what lies between two ranks, in order.
  struct Post {
    std::map<std::pair<int, int>, std::deque<std::shared_ptr<Letter>>> from_to;
  };
  struct Asked {
    int rank = 0, color = 0, key = 0;
  };

  bool failed_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::vector<int>, Post> posts_;  ///< By a group's name: the calls of group() that led to it.
  std::map<std::vector<int>, std::vector<Asked>> asked_;
};

/// One rank of them, or of a group of them.
class ThreadRank : public Communicator {
 public:
  ThreadRank(Meeting& meeting, int rank, int size, std::vector<int> name,
             std::shared_ptr<Traffic> traffic = std::make_shared<Traffic>())
      : meeting_(meeting), rank_(rank), size_(size), name_(std::move(name)), traffic_(std::move(traffic)) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  std::unique_ptr<Communicator> group(int color, int key) override {
    std::unique_lock lock(meeting_.mutex_);
    std::vector<int> place = name_;
    place.push_back(groups_++);
    auto& asked = meeting_.asked_[place];
    asked.push_back({rank_, color, key});
    meeting_.changed_.notify_all();
    until(lock, [&] { return asked.size() == static_cast<std::size_t>(size_); });
    int rank = 0;
    int size = 0;
    for (const auto& other : asked) {
      if (other.color != color) continue;
      ++size;
      rank += std::tie(other.key, other.rank) < std::tie(key, rank_) ? 1 : 0;
    }
    place.push_back(color);
    return std::make_unique<ThreadRank>(meeting_, rank, size, place, traffic_);
  }

  Pending all_to_all(std::span<const In> to, std::span<const Out> from) override {
    copy_own(to[own()], from[own()]);
    Work work{.operation = Operation::all_to_all};
    for (int i = 0; i < size_; ++i) {
      if (i == rank_) continue;
      put(work, to[static_cast<std::size_t>(i)], i);
      expect(work, from[static_cast<std::size_t>(i)], i);
    }
    return begin(std::move(work));
  }
  Pending all_gather(In mine, std::span<const Out> all) override {
    copy_own(mine, all[own()]);
    Work work{.operation = Operation::all_gather};
    for (int i = 0; i < size_; ++i) {
      if (i == rank_) continue;
      put(work, mine, i);
      expect(work, all[static_cast<std::size_t>(i)], i);
    }
    return begin(std::move(work));
  }
  Pending send(In bytes, int to) override {
    Work work{.operation = Operation::send};
    put(work, bytes, to);
    return begin(std::move(work));
  }
  Pending receive(Out bytes, int from) override {
    Work work{.operation = Operation::receive};
    expect(work, bytes, from);
    return begin(std::move(work));
  }
  Pending broadcast(Out bytes, int from) override {
    Work work{.operation = Operation::broadcast};
    if (from != rank_) {
      expect(work, bytes, from);
    } else {
      for (int i = 0; i < size_; ++i)
        if (i != rank_) put(work, bytes, i);
      traffic_->of(Operation::broadcast).sent -= bytes.size() * static_cast<std::size_t>(size_ - 1);
      traffic_->of(Operation::broadcast).sent += bytes.size();
    }
    return begin(std::move(work));
  }

  void wait(Pending begun) override {
    std::unique_lock lock(meeting_.mutex_);
    until(lock, [&] {
      take();
      return !works_.contains(begun);
    });
  }

  const Traffic& traffic() const override { return *traffic_; }
  std::vector<int> awaited() const override {
    const std::unique_lock lock(meeting_.mutex_);
    std::vector<int> ranks;
    if (!works_.empty())
      for (const auto& [bytes, from] : works_.begin()->second.expected) ranks.push_back(from);
    return ranks;
  }

 private:
  struct Work {
    Operation operation;
    std::vector<std::pair<int, std::shared_ptr<Meeting::Letter>>> sent{};
    std::vector<std::pair<Out, int>> expected{};  ///< And from whom.
  };
  std::size_t own() const { return static_cast<std::size_t>(rank_); }

  void put(Work& work, In bytes, int to) {
    traffic_->of(work.operation).sent += bytes.size();
    if (bytes.empty()) return;
    work.sent.emplace_back(to, std::make_shared<Meeting::Letter>(Meeting::Letter{bytes}));
  }
  void expect(Work& work, Out bytes, int from) {
    traffic_->of(work.operation).received += bytes.size();
    if (!bytes.empty()) work.expected.emplace_back(bytes, from);
  }
  Pending begin(Work work) {
    ++traffic_->of(work.operation).begun;
    const std::unique_lock lock(meeting_.mutex_);
    for (const auto& [to, letter] : work.sent) post().from_to[{rank_, to}].push_back(letter);
    works_.emplace(++last_, std::move(work));
    meeting_.changed_.notify_all();
    return last_;
  }
  Meeting::Post& post() { return meeting_.posts_[name_]; }

  /// Takes what has come, in the order in which it is expected. REQUIRES: the lock is held.
  void take() {
    bool any = false;
    std::vector<int> waits;  // Who has not given what was expected first.
    for (auto& [number, work] : works_) {
      std::erase_if(work.expected, [&](const std::pair<Out, int>& one) {
        const auto& [bytes, from] = one;
        auto& letters = post().from_to[{from, rank_}];
        if (letters.empty() || std::ranges::find(waits, from) != waits.end()) {
          waits.push_back(from);
          return false;
        }
        copy_own(letters.front()->bytes, bytes);
        letters.front()->taken = true;
        letters.pop_front();
        any = true;
        return true;
      });
    }
    std::erase_if(works_, [](const auto& one) {
      const Work& work = one.second;
      return work.expected.empty() &&
             std::ranges::all_of(work.sent, [](const auto& sent) { return sent.second->taken; });
    });
    if (any) meeting_.changed_.notify_all();
  }

  template <class Condition>
  void until(std::unique_lock<std::mutex>& lock, Condition&& holds) {
    while (true) {
      if (meeting_.failed_) throw OtherRankFailed();
      if (holds()) return;
      meeting_.changed_.wait(lock);
    }
  }

  Meeting& meeting_;
  int rank_, size_;
  std::vector<int> name_;
  int groups_ = 0;
  Pending last_ = 0;
  std::map<Pending, Work> works_;
  std::shared_ptr<Traffic> traffic_;
};

/// Runs work(rank) on as many threads as there are ranks. Throws what the first of them threw.
inline void with_ranks(int ranks, const std::function<void(Communicator&)>& work) {
  Meeting meeting;
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadRank communicator(meeting, rank, ranks, {});
      try {
        work(communicator);
      } catch (const OtherRankFailed&) {  // That one says why.
      } catch (...) {
        failures[static_cast<std::size_t>(rank)] = std::current_exception();
        meeting.fail();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace millrace::test
