#pragma once

#include <cstdint>

#include "model/bf16.h"
#include "model/cpu/serial_product.h"
#include "model/device/attention_call.h"

namespace millrace {

/// Attention on all OpenMP threads: one head of one row a task, in blocks of queries, so that any number of threads
/// gives the same bits. Numbers of the low type are widened, and results rounded once. Between blocks it checks for a
/// stop request, and throws Stopped. Shapes or types that do not fit throw std::logic_error.
void attend_on_cpu(const AttentionCall& call, ProductSource source);
void attend_backward_on_cpu(const AttentionGradient& call, ProductSource source);

/// Bytes that a thread keeps after both, of heads of `width` numbers over rows of `length` positions.
std::uint64_t attention_scratch_bytes(Index length, Index width, Precision precision);

}  // namespace millrace
