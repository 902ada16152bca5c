#include "trainer/backend/local_backend.h"

#include <utility>

#include "trainer/backend/open_device.h"
#include "trainer/optimizer/make_optimizer.h"

namespace millrace {

namespace {

LaneShape lanes_of(const TrainConfig& train) {
  return {static_cast<std::size_t>(train.lanes), static_cast<std::size_t>(train.expert_lanes)};
}

}  // namespace

ModelPart whole_model(const ModelConfig& model) {
  return {all_layers(model), {0, model.num_experts}};
}

LocalBackend::LocalBackend(std::unique_ptr<Device> device, const ModelConfig& model, const TrainConfig& train)
    : LocalBackend(std::move(device), model, train, whole_model(model),
                   {whole_parameters(parameter_specs(model)), nullptr}) {}

LocalBackend::LocalBackend(std::unique_ptr<Device> device, const ModelConfig& model, const TrainConfig& train,
                           const ModelPart& part, const OwnedParts& owned)
    : device_(std::move(device)),
      memory_(*device_, parameter_specs(model, part.layers, part.experts), ParameterMemory::Gradients::allocated,
              lanes_of(train).more()),
      parameters_(as_whole(parameter_specs(model), memory_.views())),
      sums_(*device_, memory_, lanes_of(train)),
      optimizer_(make_optimizer(train, *device_, parameters_, owned)),
      model_(*device_, model, memory_.views(), train.recompute ? Recompute::yes : Recompute::no, part.layers) {
  refuse_what_it_cannot(*device_, model);
}

void LocalBackend::measure(Profile* profile) {
  if (profile != nullptr) profile->settle = [this] { device_->wait(); };
  model_.measure(profile);
}

void LocalBackend::forward_backward(const MicroBatches& batches) {
  const auto end = [&](std::size_t i) { batches.done(i, model_.end(), scores_[i % 2]); };
  for (std::size_t i = 0; i < batches.count; ++i) {
    model_.add_gradients_at(sums_.begin(i, batches.count));
    model_.begin(batches.rows(i), batches.share, &scores_[i % 2]);
    sums_.end(i, batches.count);
    if (i > 0) end(i - 1);
  }
  end(batches.count - 1);
}

void LocalBackend::follow(const ModelConfig& model, const TrainConfig& train) {
  model_.follow(model);
  change_settings(train, *optimizer_);
}

}  // namespace millrace
