#include "trainer/distributed/orders.h"

#include <cstddef>
#include <span>
#include <vector>

namespace millrace {
namespace {

std::span<std::byte> bytes_of_text(std::string& text) {
  return std::as_writable_bytes(std::span(text));
}

}  // namespace

void give_order(Communicator& ranks, Order order, const std::string& text) {
  order.text_size = static_cast<std::uint32_t>(text.size());
  ranks.activity().begin(Activity::Kind::exchanges, "attention");
  ranks.wait(ranks.broadcast(writable_bytes_of_value(order), 0));
  std::string sent = text;
  ranks.wait(ranks.broadcast(bytes_of_text(sent), 0));
}

Order take_order(Communicator& ranks, std::string& text) {
  Order order;
  ranks.activity().begin(Activity::Kind::listens, "orders");
  ranks.wait(ranks.broadcast(writable_bytes_of_value(order), 0));
  text.resize(order.text_size);
  ranks.wait(ranks.broadcast(bytes_of_text(text), 0));
  ranks.activity().begin(Activity::Kind::works, "begins an order");
  return order;
}

std::vector<std::string> gather_texts(Communicator& ranks, const std::string& mine) {
  const auto size = static_cast<std::uint64_t>(mine.size());
  if (ranks.rank() != 0) {
    ranks.wait(ranks.send(bytes_of_value(size), 0));
    ranks.wait(ranks.send(std::as_bytes(std::span(mine)), 0));
    return {};
  }
  std::vector<std::string> all{mine};
  for (int i = 1; i < ranks.size(); ++i) {
    std::uint64_t theirs = 0;
    ranks.wait(ranks.receive(writable_bytes_of_value(theirs), i));
    all.emplace_back(theirs, '\0');
    ranks.wait(ranks.receive(bytes_of_text(all.back()), i));
  }
  return all;
}

}  // namespace millrace
