#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/transformer/transformer.h"

namespace millrace {

/// A micro-batch's rows as bytes, of which all of a step have as many: rank 0 reads the data for all.
std::vector<std::byte> bytes_of_batch(const TokenBatch& batch);

/// A view of the rows in bytes of bytes_of_batch(), which stay.
TokenBatch batch_in(std::span<const std::byte> bytes);

}  // namespace millrace
