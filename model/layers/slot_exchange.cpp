#include "model/layers/slot_exchange.h"

#include <stdexcept>

namespace millrace {
namespace {

std::int32_t* ints_in(Buffer& buffer, Index rows, Index columns) {
  return static_cast<std::int32_t*>(buffer.shaped(rows, columns, Type::i32).data);
}

}  // namespace

SlotExchange::SlotExchange(const Pass& pass, Index experts_here, Met& met)
    : pass_(pass),
      exchange_(*pass.exchange),
      met_(met),
      here_(experts_here),
      most_(most_expert_slots(pass.routing, pass.positions(), experts_here)) {
  if (!pass.device.reads_host_memory())
    throw std::logic_error("experts are shared on a device that does not compute in the process's memory");
  for (std::vector<Buffer>* each : {&met.slots, &met.gated, &met.first, &met.pair, &met.expert}) make_room(*each);
}

std::span<std::byte> SlotExchange::bytes_of_rows(const Tensor& all, Rows rows) {
  return {static_cast<std::byte*>(all.row_range(rows.first, rows.count).data),
          static_cast<std::size_t>(rows.count * all.columns) * bytes_of(all.type)};
}

void SlotExchange::make_room(std::vector<Buffer>& of_each) const {
  while (static_cast<Index>(of_each.size()) < exchange_.members()) of_each.emplace_back(pass_.device);
}

void SlotExchange::shape(std::vector<Buffer>& there, Index columns, Type type) const {
  make_room(there);
  for (Buffer& buffer : there) buffer.shaped(most_, columns, type);
}

std::span<const std::int64_t> SlotExchange::told_by(std::size_t member) const {
  const std::size_t size = met_.told.size() / met_.first.size();
  return std::span(met_.told).subspan(member * size, size);
}

SlotExchange::Rows SlotExchange::rows(Index from, Index to) const {
  const std::span<const std::int64_t> first = told_by(static_cast<std::size_t>(from)).subspan(1);
  const std::int64_t begin = first[static_cast<std::size_t>(to * here_)];
  return {begin, first[static_cast<std::size_t>((to + 1) * here_)] - begin};
}

void SlotExchange::meet(const Routing& routing, const DropoutMask& mask) {
  const Tensor own = routing.first.tensor();
  if (own.columns != exchange_.members() * here_ + 1) throw std::logic_error("not as many experts as the members have");
  std::vector<std::int64_t> mine{static_cast<std::int64_t>(pass_.dropout.first_row)};
  mine.insert(mine.end(), own.row<std::int32_t>(0), own.row<std::int32_t>(0) + own.columns);
  met_.told.resize(mine.size() * static_cast<std::size_t>(exchange_.members()));
  exchange_.gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(met_.told)));
  for (std::size_t member = 0; member < met_.first.size(); ++member) {
    const std::int64_t* told = told_by(member).data() + 1 + exchange_.member() * here_;
    std::int32_t* first = ints_in(met_.first[member], 1, here_ + 1);
    for (Index e = 0; e <= here_; ++e) first[e] = static_cast<std::int32_t>(told[e] - told[0]);
  }
  if (mask) meet_pairs(routing);
}

/// The kernel that drops reads a pair's expert by the pair: it is written for the pairs that came.
void SlotExchange::meet_pairs(const Routing& routing) {
  const Tensor pairs = routing.pair.tensor();
  shape(met_.pair, 1, Type::i32);
  take({pairs.data, pairs.type, pairs.columns, 1, 1}, met_.pair);
  const Tensor experts = routing.expert.tensor();
  for (std::size_t member = 0; member < met_.expert.size(); ++member) {
    std::int32_t* expert = ints_in(met_.expert[member], experts.rows, experts.columns);
    const auto* first = met_.first[member].tensor().row<std::int32_t>(0);
    const auto* pair = met_.pair[member].tensor().row<std::int32_t>(0);
    for (Index e = 0; e < here_; ++e)
      for (std::int32_t slot = first[e]; slot < first[e + 1]; ++slot)
        if (pair[slot] >= 0) expert[pair[slot]] = static_cast<std::int32_t>(exchange_.member() * here_ + e);
  }
}

void SlotExchange::take(const Tensor& slots, std::vector<Buffer>& there) {
  std::vector<ExpertExchange::In> to;
  std::vector<ExpertExchange::Out> from;
  for (Index member = 0; member < exchange_.members(); ++member) {
    to.emplace_back(bytes_of_rows(slots, rows(exchange_.member(), member)));
    from.push_back(bytes_of_rows(there[static_cast<std::size_t>(member)].tensor(), came_from(member)));
  }
  exchange_.swap(to, from);
}

void SlotExchange::bring(const std::vector<Buffer>& there, const Tensor& slots) {
  std::vector<ExpertExchange::In> to;
  std::vector<ExpertExchange::Out> from;
  for (Index member = 0; member < exchange_.members(); ++member) {
    to.emplace_back(bytes_of_rows(there[static_cast<std::size_t>(member)].tensor(), came_from(member)));
    from.push_back(bytes_of_rows(slots, rows(exchange_.member(), member)));
  }
  exchange_.swap(to, from);
}

DropoutMask SlotExchange::mask_of(std::size_t member, DropoutMask mask) const {
  mask.first_row = static_cast<std::uint64_t>(told_by(member).front());
  return mask;
}

}  // namespace millrace
