#pragma once

#include <memory>

namespace millrace {

class Transformer;

/// What the forward pass of one micro-batch leaves for its backward pass, in the device's memory: as many micro-batches
/// can be between the two at once as there are objects. Memory is taken by the first pass of a shape, and kept.
class Activations {
 public:
  /// For that model, which outlives it.
  explicit Activations(const Transformer& model);
  ~Activations();
  Activations(Activations&& other) noexcept;
  Activations& operator=(Activations&& other) noexcept;

 private:
  friend class Transformer;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
