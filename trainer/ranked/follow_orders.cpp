#include "trainer/ranked/follow_orders.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "trainer/backend/open_device.h"
#include "trainer/distributed/orders.h"
#include "trainer/ranked/batch_feed.h"
#include "trainer/ranked/rank_save.h"
#include "trainer/ranked/replica.h"
#include "trainer/ranked/step_results.h"
#include "trainer/ranked/training_text.h"

namespace millrace {
namespace {

/// Whether the step goes on.
bool give_results(Communicator& ranks, const StepResults& results) {
  ranks.activity().begin(Activity::Kind::exchanges, "rank 0 to take results");
  const std::vector<std::byte> bytes = bytes_of_results(results);
  const auto size = static_cast<std::uint64_t>(bytes.size());
  ranks.wait(ranks.send(bytes_of_value(size), 0));
  ranks.wait(ranks.send(bytes, 0));
  std::uint64_t is_stopped = 0;
  ranks.wait(ranks.broadcast(writable_bytes_of_value(is_stopped), 0));
  return is_stopped == 0;
}

/// This rank's part of a step: RankedBackend::forward_backward().
void step(Replica& replica, const Order& order) {
  Communicator& ranks = replica.ranks();
  std::vector<std::vector<std::byte>> rows(order.count, std::vector<std::byte>(order.size));
  std::vector<std::optional<Pending>> coming;
  for (std::vector<std::byte>& one : rows) coming.emplace_back(ranks.receive(one, 0));
  const auto wait_for = [&](std::size_t i) {
    if (coming[i]) ranks.wait(*coming[i]);
    coming[i].reset();
  };
  const StepResults results = replica.compute({.count = order.count,
                                               .share = order.a,
                                               .rows =
                                                   [&](std::size_t i) {
                                                     wait_for(i);
                                                     return batch_in(rows[i]);
                                                   },
                                               .done = {}});
  for (std::size_t i = 0; i < coming.size(); ++i) wait_for(i);
  if (give_results(ranks, results)) replica.add_up();
}

/// This rank's part of a round: RankedBackend::score().
void score(Replica& replica, const Order& order) {
  Communicator& ranks = replica.ranks();
  ranks.activity().begin(Activity::Kind::exchanges, "rows");
  std::vector<std::byte> rows(order.size);
  ranks.wait(ranks.receive(rows, 0));
  StepResults results;
  results.micro_batches.push_back({{}, replica.score(batch_in(rows))});
  give_results(ranks, results);
}

/// An update that is refused is so on all ranks: rank 0 says it.
void update(Replica& replica, const Order& order) {
  try {
    replica.update(order.count, order.a, order.b);
  } catch (const NotFiniteUpdate&) {
  }
}

/// This rank's part of a checkpoint: RankedBackend::begin_save().
void save(Replica& replica, std::optional<RankSave>& saves, const SharedSave& order) {
  if (!saves) saves.emplace(replica, order);
  saves->begin(order);
}

std::unique_ptr<Replica> make(Communicator& ranks, const std::string& text, const FollowerHooks& hooks) {
  const auto [model, train, layout] = training_in(text);
  std::unique_ptr<Device> device =
      hooks.device ? hooks.device(train) : open_device(train.device, device_settings(train), "train.device");
  return std::make_unique<Replica>(ranks, layout, std::move(device), model, train);
}

}  // namespace

void follow_orders(Communicator& ranks, const FollowerHooks& hooks) {
  std::unique_ptr<Replica> replica;
  std::optional<RankSave> saves;
  const auto made = [&]() -> Replica& {
    if (!replica) throw std::logic_error("an order for a model that was not made");
    return *replica;
  };
  std::string text;
  while (true) {
    const Order order = take_order(ranks, text);
    switch (order.kind) {
      case OrderKind::begin:
        hooks.begin(text);
        break;
      case OrderKind::make:
        replica = make(ranks, text, hooks);
        break;
      case OrderKind::settings: {
        const auto [model, train, layout] = training_in(text);
        made().follow(model, train);
        break;
      }
      case OrderKind::values:
        made().take_values();
        break;
      case OrderKind::step:
        step(made(), order);
        break;
      case OrderKind::score:
        score(made(), order);
        break;
      case OrderKind::norm:
        made().gradient_norm();
        break;
      case OrderKind::update:
        update(made(), order);
        break;
      case OrderKind::save:
        save(made(), saves, save_in(text));
        break;
      case OrderKind::report:
        gather_texts(ranks, report_text(saves.value().report()));
        break;
      case OrderKind::check:
        check_share(ranks, text);
        break;
      case OrderKind::end:
        return;
    }
  }
}

}  // namespace millrace
