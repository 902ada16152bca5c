#include "trainer/backend/local_backend.h"

#include <utility>

#include "trainer/optimizer/make_optimizer.h"

namespace millrace {

LocalBackend::LocalBackend(std::unique_ptr<Device> device, const ModelConfig& model, const TrainConfig& train)
    : device_(std::move(device)),
      memory_(*device_, model, ParameterMemory::Gradients::allocated),
      optimizer_(make_optimizer(train, *device_, memory_.views())),
      model_(*device_, model, memory_.views(), train.recompute ? Recompute::yes : Recompute::no) {}

void LocalBackend::forward_backward(const MicroBatches& batches) {
  memory_.zero_gradients();
  for (std::size_t i = 0; i < batches.count; ++i) {
    const Losses& losses = model_.forward_backward(batches.rows(i), batches.share, &scores_);
    batches.done(i, losses, scores_);
  }
}

}  // namespace millrace
