#include "model/layers/embedding.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <tuple>

#include "model/kernels/rows.h"

namespace millrace {

void Embedding::load(Device& device, const std::int32_t* tokens, Index count, Saved& saved) const {
  const Index vocabulary = weight_->value.rows;
  for (Index t = 0; t < count; ++t) {
    if (tokens[t] < 0 || tokens[t] >= vocabulary) {
      throw std::out_of_range("token id " + std::to_string(tokens[t]) + " at position " + std::to_string(t) +
                              " of the micro-batch; the model has " + std::to_string(vocabulary) + " rows");
    }
  }
  saved.on_host.assign(tokens, tokens + count);
  const Tensor there = saved.tokens.shaped(1, count, Type::i32);
  device.to_device(there.data, tokens, saved.on_host.size() * sizeof(std::int32_t));
}

void Embedding::forward(Device& device, const Saved& saved, const Tensor& h) const {
  const auto* tokens = static_cast<const std::int32_t*>(saved.tokens.tensor().data);
  device.run(EmbeddingRows{tokens, weight_->value, h}, h.rows);
}

void Embedding::backward(const Pass& pass, const Saved& saved, const Tensor& dh) {
  const std::vector<std::int32_t>& tokens = saved.on_host;
  positions_.clear();
  positions_.reserve(tokens.size());
  for (std::size_t t = 0; t < tokens.size(); ++t)
    if (pass.layout.real[t] != 0) positions_.push_back(static_cast<std::int32_t>(t));
  std::ranges::sort(positions_, {}, [&](std::int32_t t) { return std::tuple(tokens[static_cast<std::size_t>(t)], t); });
  distinct_.clear();
  first_.clear();
  for (auto* list : {&distinct_, &first_}) list->reserve(tokens.size() + 1);
  for (std::size_t i = 0; i < positions_.size(); ++i) {
    const std::int32_t token = tokens[static_cast<std::size_t>(positions_[i])];
    if (!distinct_.empty() && distinct_.back() == token) continue;
    distinct_.push_back(token);
    first_.push_back(static_cast<std::int32_t>(i));
  }
  first_.push_back(static_cast<std::int32_t>(positions_.size()));
  const auto most = static_cast<Index>(tokens.size()) + 1;
  auto* there = static_cast<std::int32_t*>(order_.shaped(3, most, Type::i32).data);
  std::int32_t* place = there;
  for (const auto* list : {&distinct_, &first_, &positions_}) {
    pass.device.to_device(place, list->data(), list->size() * sizeof(std::int32_t));
    place += most;
  }
  pass.device.run(
      EmbeddingGradient{there, there + most, there + 2 * most, dh, pass.gradients.of(weight_->gradient, false)},
      static_cast<Index>(distinct_.size()));
}

}  // namespace millrace
