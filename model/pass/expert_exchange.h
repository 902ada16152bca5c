#pragma once

#include <cstddef>
#include <span>

#include "model/matrix.h"

namespace millrace {

/// Those who share a model's experts: each member holds num_experts / members() of them, in order, and all else of the
/// model. All make the same passes at the same time, each with a micro-batch of its own; all micro-batches have as many
/// positions. Bytes are moved and never added. Buffers are the calling thread's own again on return.
class ExpertExchange {
 public:
  using In = std::span<const std::byte>;
  using Out = std::span<std::byte>;

  virtual ~ExpertExchange() = default;
  virtual Index members() const = 0;
  virtual Index member() const = 0;  ///< Which one this is.

  /// Gives every member what each has, in order: `all` is members() times as large as `mine`.
  virtual void gather(In mine, Out all) = 0;
  /// to[i] goes to member i, from[i] comes from it; an entry a member, itself among them.
  virtual void swap(std::span<const In> to, std::span<const Out> from) = 0;
};

}  // namespace millrace
