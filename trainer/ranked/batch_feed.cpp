#include "trainer/ranked/batch_feed.h"

#include <cstdint>

#include "trainer/ranked/byte_stream.h"

namespace millrace {
namespace {

/// TokenBatch without its pointers. A multiple of 8 bytes, so that the arrays behind it lie as numbers do.
struct BatchHead {
  std::int32_t rows = 0;
  std::int32_t length = 0;
  std::uint32_t has_segments = 0;
  std::uint32_t has_positions = 0;
  double loss_divisor = 0;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint64_t first_row = 0;
};

}  // namespace

std::vector<std::byte> bytes_of_batch(const TokenBatch& batch) {
  ByteWriter writer;
  writer.put(BatchHead{batch.rows, batch.length, batch.segment_ids != nullptr ? 1U : 0U,
                       batch.positions != nullptr ? 1U : 0U, batch.loss_divisor, batch.seed, batch.step,
                       batch.first_row});
  const std::size_t places = static_cast<std::size_t>(batch.rows) * static_cast<std::size_t>(batch.length);
  writer.put_all(std::span(batch.tokens, places));
  writer.put_all(std::span(batch.labels, places));
  writer.put_all(std::span(batch.loss_weights, places));
  if (batch.segment_ids != nullptr) writer.put_all(std::span(batch.segment_ids, places));
  if (batch.positions != nullptr) writer.put_all(std::span(batch.positions, places));
  return writer.take();
}

TokenBatch batch_in(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const auto head = reader.get<BatchHead>();
  const std::size_t places = static_cast<std::size_t>(head.rows) * static_cast<std::size_t>(head.length);
  const auto array = [&]<class Value>(const Value*& to) {
    to = reinterpret_cast<const Value*>(reader.next(places * sizeof(Value)).data());
  };
  TokenBatch batch{.rows = head.rows, .length = head.length};
  array(batch.tokens);
  array(batch.labels);
  array(batch.loss_weights);
  if (head.has_segments != 0) array(batch.segment_ids);
  if (head.has_positions != 0) array(batch.positions);
  batch.loss_divisor = head.loss_divisor;
  batch.seed = head.seed;
  batch.step = head.step;
  batch.first_row = head.first_row;
  return batch;
}

}  // namespace millrace
