#include "trainer/ranked/step_results.h"

#include <cstdint>

#include "trainer/ranked/byte_stream.h"

namespace millrace {
namespace {

void put(ByteWriter& writer, const RouterStatistics& router) {
  for (const double number : {router.aux_loss, router.z_loss, router.entropy, router.dropped, router.gates})
    writer.put(number);
  for (const std::int64_t number : {router.kept, router.places, router.routed, router.left_behind}) writer.put(number);
  writer.put_list(router.load);
  writer.put_list(router.pairs_at);
  writer.put_list(router.dropped_at);
}

RouterStatistics router_in(ByteReader& reader) {
  RouterStatistics router;
  for (double* const number : {&router.aux_loss, &router.z_loss, &router.entropy, &router.dropped, &router.gates})
    *number = reader.get<double>();
  for (std::int64_t* const number : {&router.kept, &router.places, &router.routed, &router.left_behind})
    *number = reader.get<std::int64_t>();
  router.load = reader.get_list<double>();
  router.pairs_at = reader.get_list<std::int64_t>();
  router.dropped_at = reader.get_list<std::int64_t>();
  return router;
}

void put(ByteWriter& writer, const Losses& losses) {
  for (const double number :
       {losses.total, losses.ce, losses.z_loss, losses.aux_loss, losses.router_z_loss, losses.loss_weight})
    writer.put(number);
  writer.put(losses.routers.size());
  for (const RouterStatistics& router : losses.routers) put(writer, router);
}

Losses losses_in(ByteReader& reader) {
  Losses losses;
  for (double* const number :
       {&losses.total, &losses.ce, &losses.z_loss, &losses.aux_loss, &losses.router_z_loss, &losses.loss_weight})
    *number = reader.get<double>();
  losses.routers.resize(reader.get<std::size_t>());
  for (RouterStatistics& router : losses.routers) router = router_in(reader);
  return losses;
}

}  // namespace

std::vector<std::byte> bytes_of_results(const StepResults& results) {
  ByteWriter writer;
  writer.put(results.is_stopped);
  writer.put(results.seconds);
  writer.put(results.micro_batches.size());
  for (const MicroBatchResult& one : results.micro_batches) {
    put(writer, one.losses);
    writer.put_list(one.scores.cross_entropy);
    writer.put_list(one.scores.correct);
  }
  return writer.take();
}

StepResults results_in(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  StepResults results;
  results.is_stopped = reader.get<bool>();
  results.seconds = reader.get<double>();
  results.micro_batches.resize(reader.get<std::size_t>());
  for (MicroBatchResult& one : results.micro_batches) {
    one.losses = losses_in(reader);
    one.scores.cross_entropy = reader.get_list<float>();
    one.scores.correct = reader.get_list<std::uint8_t>();
  }
  return results;
}

}  // namespace millrace
