#include "trainer/distributed/mpi_communicator.h"

#include <stdexcept>

#ifndef MILLRACE_HAS_MPI

#include <cstdlib>

namespace millrace {

bool has_mpi() {
  return false;
}

std::unique_ptr<Communicator> start_mpi() {
  throw std::logic_error("built without MPI");
}

void finish_mpi() {}

void end_all_ranks(int exit_code) {
  std::_Exit(exit_code);
}

}  // namespace millrace

#else

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <mpi.h>
#include <sched.h>

#include "trainer/distributed/one_rank.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kLargestMessage = std::size_t{1} << 30;
constexpr std::size_t kSmall = std::size_t{1} << 16;  ///< Of a broadcast.
constexpr int kTag = 0;  ///< Messages of two ranks come in the order in which they were begun.

/// How often nothing has come before the thread sleeps instead of yielding, and how long it then sleeps at most.
constexpr int kYields = 100;
constexpr std::chrono::microseconds kShortestSleep(10);
constexpr std::chrono::microseconds kLongestSleep(200);

/// One call of MPI that is under way.
struct Transfer {
  MPI_Request request = MPI_REQUEST_NULL;
  int peer = 0;
  int bytes = 0;
  bool receives = false;
};

/// What one Pending stands for: calls that are posted together.
struct Work {
  Pending number = 0;
  std::function<void(std::vector<Transfer>&)> post;
  std::vector<Transfer> transfers;
};

/// The thread that owns MPI.
class Engine {
 public:
  Engine() : thread_([this] { run(); }) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return started_; });
  }

  MPI_Comm world() const { return world_; }

  /// Does something on the thread, and waits for it.
  void call(const std::function<void()>& what) {
    std::unique_lock lock(mutex_);
    call_ = what;
    wake_.notify_all();
    changed_.wait(lock, [this] { return !call_; });
  }

  Pending begin(std::function<void(std::vector<Transfer>&)> post) {
    const std::unique_lock lock(mutex_);
    const Pending number = ++last_;
    begun_.push_back({.number = number, .post = std::move(post), .transfers = {}});
    open_.push_back({number, {}});
    wake_.notify_all();
    return number;
  }

  void wait(Pending number) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return std::ranges::find(open_, number, &Open::number) == open_.end(); });
  }

  std::vector<int> awaited() const {
    const std::unique_lock lock(mutex_);
    return open_.empty() ? std::vector<int>() : open_.front().peers;
  }

  void finish() {
    call([this] {
      MPI_Comm_free(&world_);
      MPI_Finalize();
    });
    {
      const std::unique_lock lock(mutex_);
      ends_ = true;
      wake_.notify_all();
    }
    thread_.join();
  }

  [[noreturn]] void abort(int exit_code) {
    {
      const std::unique_lock lock(mutex_);
      abort_ = exit_code;
      wake_.notify_all();
    }
    // A thread that MPI itself holds cannot abort: the launcher ends the others once this process has gone.
    constexpr std::chrono::seconds kToAbort(3);
    std::this_thread::sleep_for(kToAbort);
    std::_Exit(exit_code);
  }

 private:
  /// What a Pending that is not done waits for.
  struct Open {
    Pending number = 0;
    std::vector<int> peers;
  };

  /// What OpenMPI is told, unless the user told it.
  void start() {
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    // Over TCP in fragments, some at a time. A message that is put whole would hold up, on its connection, the word
    // that the other side may send: both directions would go one after the other.
    setenv("OMPI_MCA_btl_tcp_flags", "send,inplace,need-ack,need-csum,hetero-rdma", 0);
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_dup(MPI_COMM_WORLD, &world_);
  }

  void run() {
    start();
    std::unique_lock lock(mutex_);
    started_ = true;
    changed_.notify_all();
    int idle = 0;
    while (!ends_) {
      if (abort_ >= 0) MPI_Abort(MPI_COMM_WORLD, abort_);
      if (call_) {
        lock.unlock();
        call_();
        lock.lock();
        call_ = {};
        changed_.notify_all();
        continue;
      }
      std::list<Work> fresh = std::move(begun_);
      begun_.clear();
      if (fresh.empty() && works_.empty()) {
        wake_.wait(lock);
        continue;
      }
      lock.unlock();
      const bool has_moved = post(fresh) || test();
      lock.lock();
      tell_done();
      idle = has_moved ? 0 : idle + 1;
      if (idle > 0) rest(lock, idle);
    }
  }

  bool post(std::list<Work>& fresh) {
    const bool any = !fresh.empty();
    for (Work& work : fresh) work.post(work.transfers);
    works_.splice(works_.end(), fresh);
    return any;
  }

  /// Whether anything was completed.
  bool test() {
    requests_.clear();
    of_request_.clear();
    for (Work& work : works_) {
      for (Transfer& transfer : work.transfers) {
        requests_.push_back(transfer.request);
        of_request_.push_back(&transfer);
      }
    }
    if (requests_.empty()) return true;  // Work of no bytes.
    done_.resize(requests_.size());
    statuses_.resize(requests_.size());
    int count = 0;
    MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count, done_.data(), statuses_.data());
    for (std::size_t i = 0; i < requests_.size(); ++i) of_request_[i]->request = requests_[i];
    for (int i = 0; i < count; ++i)
      check(*of_request_[static_cast<std::size_t>(done_[static_cast<std::size_t>(i)])], i);
    for (Work& work : works_)
      std::erase_if(work.transfers, [](const Transfer& one) { return one.request == MPI_REQUEST_NULL; });
    return count > 0;
  }

  /// Ranks that do not agree on a message's size would go on with other bytes.
  void check(const Transfer& transfer, int of_statuses) {
    if (!transfer.receives) return;
    int bytes = 0;
    MPI_Get_count(&statuses_[static_cast<std::size_t>(of_statuses)], MPI_BYTE, &bytes);
    if (bytes == transfer.bytes) return;
    fprintf(stderr, "millrace: rank %d gave %d bytes where %d were expected\n", transfer.peer, bytes, transfer.bytes);
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
  }

  /// REQUIRES: the lock is held.
  void tell_done() {
    bool any = false;
    for (auto work = works_.begin(); work != works_.end();) {
      const auto open = std::ranges::find(open_, work->number, &Open::number);
      if (work->transfers.empty()) {
        open_.erase(open);
        work = works_.erase(work);
        any = true;
        continue;
      }
      open->peers.clear();
      for (const Transfer& one : work->transfers)
        if (open->peers.empty() || open->peers.back() != one.peer) open->peers.push_back(one.peer);
      ++work;
    }
    if (any) changed_.notify_all();
  }

  void rest(std::unique_lock<std::mutex>& lock, int idle) {
    if (idle < kYields) {
      lock.unlock();
      sched_yield();
      lock.lock();
      return;
    }
    const int doublings = std::min((idle - kYields) / kYields, 8);
    wake_.wait_for(lock, std::min(kLongestSleep, kShortestSleep * (1 << doublings)));
  }

  mutable std::mutex mutex_;
  std::condition_variable wake_, changed_;
  std::function<void()> call_;
  std::list<Work> begun_;
  std::list<Open> open_;
  Pending last_ = 0;
  bool started_ = false;
  bool ends_ = false;
  int abort_ = -1;
  // The thread's own:
  MPI_Comm world_ = MPI_COMM_NULL;
  std::list<Work> works_;
  std::vector<MPI_Request> requests_;
  std::vector<Transfer*> of_request_;
  std::vector<int> done_;
  std::vector<MPI_Status> statuses_;
  std::thread thread_;
};

std::atomic<Engine*> engine = nullptr;

/// work(first, count) for each message that so many bytes are sent in.
template <class Each>
void for_messages(std::size_t bytes, Each&& each) {
  for (std::size_t first = 0; first < bytes; first += kLargestMessage)
    each(first, static_cast<int>(std::min(kLargestMessage, bytes - first)));
}

/// Another rank: in its communicator, and in the job.
struct Peer {
  int rank = 0;
  int of_job = 0;
};

void post_send(std::vector<Transfer>& transfers, Communicator::In bytes, const Peer& to, MPI_Comm ranks) {
  for_messages(bytes.size(), [&](std::size_t first, int count) {
    Transfer& one = transfers.emplace_back(Transfer{.peer = to.of_job, .bytes = count});
    MPI_Isend(bytes.data() + first, count, MPI_BYTE, to.rank, kTag, ranks, &one.request);
  });
}

void post_receive(std::vector<Transfer>& transfers, Communicator::Out bytes, const Peer& from, MPI_Comm ranks) {
  for_messages(bytes.size(), [&](std::size_t first, int count) {
    Transfer& one = transfers.emplace_back(Transfer{.peer = from.of_job, .bytes = count, .receives = true});
    MPI_Irecv(bytes.data() + first, count, MPI_BYTE, from.rank, kTag, ranks, &one.request);
  });
}

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(Engine& mpi, MPI_Comm ranks, std::shared_ptr<Traffic> traffic)
      : mpi_(mpi), ranks_(ranks), traffic_(std::move(traffic)) {
    mpi_.call([this] {
      MPI_Comm_rank(ranks_, &rank_);
      MPI_Comm_size(ranks_, &size_);
      find_peers();
    });
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  std::unique_ptr<Communicator> group(int color, int key) override {
    MPI_Comm part = MPI_COMM_NULL;
    mpi_.call([&] { MPI_Comm_split(ranks_, color, key, &part); });
    return std::make_unique<MpiCommunicator>(mpi_, part, traffic_);
  }

  Pending all_to_all(std::span<const In> to, std::span<const Out> from) override {
    const auto own = static_cast<std::size_t>(rank_);
    copy_own(to[own], from[own]);
    Traffic::Count& moved = count(Operation::all_to_all);
    for (int i = 0; i < size_; ++i) {
      if (i == rank_) continue;
      moved.sent += to[static_cast<std::size_t>(i)].size();
      moved.received += from[static_cast<std::size_t>(i)].size();
    }
    return begin(Operation::all_to_all,
                 [this, outgoing = std::vector<In>(to.begin(), to.end()),
                  incoming = std::vector<Out>(from.begin(), from.end())](std::vector<Transfer>& transfers) {
                   each_other([&](int peer) {
                     post_receive(transfers, incoming[static_cast<std::size_t>(peer)], peer_of(peer), ranks_);
                   });
                   each_other([&](int peer) {
                     post_send(transfers, outgoing[static_cast<std::size_t>(peer)], peer_of(peer), ranks_);
                   });
                 });
  }

  Pending all_gather(In mine, std::span<const Out> all) override {
    copy_own(mine, all[static_cast<std::size_t>(rank_)]);
    Traffic::Count& moved = count(Operation::all_gather);
    for (int i = 0; i < size_; ++i) {
      if (i == rank_) continue;
      moved.sent += mine.size();
      moved.received += all[static_cast<std::size_t>(i)].size();
    }
    return begin(Operation::all_gather,
                 [this, mine, incoming = std::vector<Out>(all.begin(), all.end())](std::vector<Transfer>& transfers) {
                   each_other([&](int peer) {
                     post_receive(transfers, incoming[static_cast<std::size_t>(peer)], peer_of(peer), ranks_);
                   });
                   each_other([&](int peer) { post_send(transfers, mine, peer_of(peer), ranks_); });
                 });
  }

  Pending send(In bytes, int to) override {
    count(Operation::send).sent += bytes.size();
    return begin(Operation::send, [this, bytes, to](std::vector<Transfer>& transfers) {
      post_send(transfers, bytes, peer_of(to), ranks_);
    });
  }

  Pending receive(Out bytes, int from) override {
    count(Operation::receive).received += bytes.size();
    return begin(Operation::receive, [this, bytes, from](std::vector<Transfer>& transfers) {
      post_receive(transfers, bytes, peer_of(from), ranks_);
    });
  }

  Pending broadcast(Out bytes, int from) override {
    Traffic::Count& moved = count(Operation::broadcast);
    (from == rank_ ? moved.sent : moved.received) += bytes.size();
    return begin(Operation::broadcast, [this, bytes, from](std::vector<Transfer>& transfers) {
      if (bytes.size() <= kSmall) {  // Straight, so that it is plain who waits for whom.
        if (from != rank_)
          post_receive(transfers, bytes, peer_of(from), ranks_);
        else
          each_other([&](int peer) { post_send(transfers, bytes, peer_of(peer), ranks_); });
        return;
      }
      for_messages(bytes.size(), [&](std::size_t first, int size) {
        Transfer& one = transfers.emplace_back(Transfer{.peer = peer_of(from).of_job, .bytes = size});
        MPI_Ibcast(bytes.data() + first, size, MPI_BYTE, from, ranks_, &one.request);
      });
    });
  }

  void wait(Pending begun) override {
    const Clock::time_point start = Clock::now();
    mpi_.wait(begun / kOperationNames.size());
    traffic_->by_operation[begun % kOperationNames.size()].waited +=
        std::chrono::duration<double>(Clock::now() - start).count();
  }

  const Traffic& traffic() const override { return *traffic_; }
  std::vector<int> awaited() const override { return mpi_.awaited(); }

 private:
  void find_peers() {
    std::vector<int> here;
    for (int i = 0; i < size_; ++i) here.push_back(i);
    of_job_.resize(here.size());
    MPI_Group group = MPI_GROUP_NULL;
    MPI_Group job = MPI_GROUP_NULL;
    MPI_Comm_group(ranks_, &group);
    MPI_Comm_group(MPI_COMM_WORLD, &job);
    MPI_Group_translate_ranks(group, size_, here.data(), job, of_job_.data());
    MPI_Group_free(&group);
    MPI_Group_free(&job);
  }
  Peer peer_of(int rank) const { return {rank, of_job_[static_cast<std::size_t>(rank)]}; }

  Traffic::Count& count(Operation operation) {
    Traffic::Count& moved = traffic_->of(operation);
    ++moved.begun;
    return moved;
  }

  Pending begin(Operation operation, std::function<void(std::vector<Transfer>&)> post) {
    return mpi_.begin(std::move(post)) * kOperationNames.size() + static_cast<Pending>(operation);
  }

  /// The next rank first, so that not all begin with the same one.
  template <class Each>
  void each_other(Each&& each) const {
    for (int i = 1; i < size_; ++i) each((rank_ + i) % size_);
  }

  Engine& mpi_;
  MPI_Comm ranks_;
  int rank_ = 0;
  int size_ = 1;
  std::shared_ptr<Traffic> traffic_;
  std::vector<int> of_job_;  ///< Of each rank.
};

}  // namespace

bool has_mpi() {
  return true;
}

std::unique_ptr<Communicator> start_mpi() {
  if (engine != nullptr) throw std::logic_error("MPI starts once");
  engine = new Engine;  // Lives as long as MPI: finish_mpi().
  return std::make_unique<MpiCommunicator>(*engine, engine.load()->world(), std::make_shared<Traffic>());
}

void finish_mpi() {
  Engine* const ended = engine.exchange(nullptr);
  if (ended == nullptr) return;
  ended->finish();
  delete ended;
}

void end_all_ranks(int exit_code) {
  if (Engine* const running = engine) running->abort(exit_code);
  std::_Exit(exit_code);
}

}  // namespace millrace

#endif
