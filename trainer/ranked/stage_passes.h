#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "model/device/buffer.h"
#include "trainer/backend/local_backend.h"
#include "trainer/distributed/communicator.h"
#include "trainer/ranked/step_results.h"

namespace millrace {

/// The passes of a model's stage, one forward, one backward (trainer/cluster/pipeline_schedule.h): the residual stream
/// goes to the next stage, its gradient to the one before. The same bits as all layers in one place.
class StagePasses {
 public:
  /// `stages`: a rank each, in order. `local` has the stage's layers. `activity` is told what this rank does. All
  /// outlive this; the device's memory is the process's.
  StagePasses(Communicator& stages, LocalBackend& local, Index hidden_size, Activity& activity);

  /// As LocalBackend::forward_backward(); rows stay until the end. Losses are the stage's own.
  void forward_backward(const MicroBatches& batches);
  /// Scores at the last stage; elsewhere none.
  TokenScores score(const TokenBatch& batch);

 private:
  /// What goes over one of the stage's borders in one direction, micro-batch after micro-batch.
  class Inbox {
   public:
    Inbox(Communicator& stages, Device& device, int from)
        : stages_(stages), from_(from), buffers_{Buffer(device), Buffer(device)} {}
    void begin(Index rows, Index columns, std::size_t count);
    /// The next one's, valid until the one after it. Meanwhile that one may come.
    Tensor next();

   private:
    void expect();

    Communicator& stages_;
    int from_;
    std::array<Buffer, 2> buffers_;
    std::array<Pending, 2> coming_{};
    std::size_t expected_ = 0, taken_ = 0, count_ = 0;
  };
  class Outbox {
   public:
    Outbox(Communicator& stages, Device& device, int to)
        : stages_(stages), device_(device), to_(to), buffers_{Buffer(device), Buffer(device)} {}
    /// Copies the numbers.
    void send(const Tensor& numbers);
    void finish();

   private:
    Communicator& stages_;
    Device& device_;
    int to_;
    std::array<Buffer, 2> buffers_;
    std::array<Pending, 2> going_{};
    std::size_t sent_ = 0, done_ = 0;
  };

  bool is_first() const { return stages_.rank() == 0; }
  bool is_last() const { return stages_.rank() + 1 == stages_.size(); }
  void begin(Activity::Kind kind, const char* what, std::size_t micro_batch, std::size_t count);

  Communicator& stages_;
  LocalBackend& local_;
  Index hidden_size_;
  Activity& activity_;
  Inbox stream_in_, gradient_in_;
  Outbox stream_out_, gradient_out_;
  std::vector<Activations> kept_;
};

}  // namespace millrace
