#include "trainer/ranked/ranked_backend.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "model/stop.h"
#include "trainer/distributed/orders.h"
#include "trainer/ranked/batch_feed.h"
#include "trainer/ranked/rank_groups.h"
#include "trainer/ranked/step_results.h"
#include "trainer/ranked/training_text.h"

namespace millrace {

namespace {

/// What of a step the communicator's activities are part of, by how their names begin.
constexpr std::array<std::pair<const char*, const char*>, 8> kExchanges{{
    {"rows", "rows"},
    {"results", "rows"},
    {"gradients", "gradients"},
    {"sums of gradients", "gradients"},
    {"weights", "weights"},
    {"sums of the update", "weights"},
    {"tokens for experts", "experts"},
    {"the stage ", "pipeline"},
}};

/// The others make their model while this rank makes its own.
Communicator& tell_to_make(Communicator& ranks, const RankLayout& layout, const ModelConfig& model,
                           const TrainConfig& train) {
  give_order(ranks, {.kind = OrderKind::make}, text_of_training({model, train, layout}));
  return ranks;
}

/// Something that all ranks do together, from rank 0's order to its end.
class Together {
 public:
  Together(Communicator& ranks, const Order& order, const std::string& text = {}) : ranks_(ranks) {
    give_order(ranks, order, text);
  }
  ~Together() { ranks_.activity().begin(Activity::Kind::works, "reads, logs, evaluates or saves"); }
  Together(const Together&) = delete;
  Together& operator=(const Together&) = delete;

 private:
  Communicator& ranks_;
};

bool are_alike(const TokenBatch& one, const TokenBatch& other) {
  return one.rows == other.rows && one.length == other.length &&
         (one.segment_ids == nullptr) == (other.segment_ids == nullptr) &&
         (one.positions == nullptr) == (other.positions == nullptr);
}

}  // namespace

RankedBackend::RankedBackend(Communicator& ranks, const RankLayout& layout, std::unique_ptr<Device> device,
                             const ModelConfig& model, const TrainConfig& train)
    : ranks_(ranks),
      model_(model),
      replica_(tell_to_make(ranks, layout, model, train), layout, std::move(device), model, train) {}

void RankedBackend::forward_backward(const MicroBatches& batches) {
  const ProcessGrid& grid = replica_.layout().grid;
  const MicroBatchesOfRanks spread{grid, batches.count};
  const std::size_t own = spread.of_replica();
  std::vector<std::vector<std::byte>> rows;
  for (std::size_t i = 0; i < batches.count; ++i) rows.push_back(bytes_of_batch(batches.rows(i)));
  const Together together(ranks_,
                          {.kind = OrderKind::step, .count = own, .size = rows.front().size(), .a = batches.share});
  std::vector<Pending> sent;
  for (std::size_t i = 0; i < own; ++i)
    for (int rank = 1; rank < ranks_.size(); ++rank)
      sent.push_back(ranks_.send(rows[spread.number(grid.place(rank), i)], rank));
  StepResults mine = replica_.compute({.count = own,
                                       .share = batches.share,
                                       .rows = [&](std::size_t i) { return batch_in(rows[spread.number({}, i)]); },
                                       .done = {}});
  for (const Pending one : sent) ranks_.wait(one);
  const std::vector<StepResults> all = gather_results(std::move(mine));
  std::vector<Losses> stages(static_cast<std::size_t>(grid.pipeline));
  for (std::size_t i = 0; i < batches.count; ++i) {
    const ProcessGrid::Place place = spread.place(i);
    const MicroBatchResult* last = nullptr;
    for (int stage = 0; stage < grid.pipeline; ++stage) {
      const int rank = grid.rank({place.data, place.expert, 0, stage});
      last = &all[static_cast<std::size_t>(rank)].micro_batches[spread.own(i)];
      stages[static_cast<std::size_t>(stage)] = last->losses;
    }
    batches.done(i, grid.pipeline == 1 ? last->losses : losses_of_stages(model_, stages), last->scores);
  }
  replica_.add_up();
}

std::vector<StepResults> RankedBackend::gather_results(StepResults mine) {
  ranks_.activity().begin(Activity::Kind::exchanges, "results");
  std::vector<StepResults> all{std::move(mine)};
  for (int rank = 1; rank < ranks_.size(); ++rank) {
    std::uint64_t size = 0;
    ranks_.wait(ranks_.receive(writable_bytes_of_value(size), rank));
    std::vector<std::byte> bytes(size);
    ranks_.wait(ranks_.receive(bytes, rank));
    all.push_back(results_in(bytes));
  }
  compute_seconds_.clear();
  for (const StepResults& results : all) compute_seconds_.push_back(results.seconds);
  std::uint64_t is_stopped = std::ranges::any_of(all, &StepResults::is_stopped) ? 1 : 0;
  ranks_.wait(ranks_.broadcast(writable_bytes_of_value(is_stopped), 0));
  if (is_stopped != 0) throw Stopped();
  return all;
}

/// As many batches at once as there are replicas, which pass over theirs together: all of one shape.
void RankedBackend::score(const ScoredBatches& batches) {
  const auto replicas = static_cast<std::size_t>(replica_.layout().grid.replicas());
  for (std::size_t first = 0; first < batches.count;) {
    throw_if_stopped();
    std::vector<std::vector<std::byte>> rows;
    std::vector<TokenBatch> round;
    while (round.size() < replicas && first + round.size() < batches.count) {
      const TokenBatch next = batches.rows(first + round.size());
      if (!round.empty() && !are_alike(round.front(), next)) break;
      round.push_back(batch_in(rows.emplace_back(bytes_of_batch(next))));
    }
    score_round(round, batches, first);
    first += round.size();
  }
}

/// Replicas that have none of their own do the last one's work once more.
void RankedBackend::score_round(std::span<const TokenBatch> round, const ScoredBatches& batches, std::size_t first) {
  const ProcessGrid& grid = replica_.layout().grid;
  const auto replica_of = [&](int rank) {
    const ProcessGrid::Place place = grid.place(rank);
    const int replica = place.data * grid.expert + place.expert;
    return static_cast<std::size_t>(replica);
  };
  std::vector<std::vector<std::byte>> rows;
  for (const TokenBatch& batch : round) rows.push_back(bytes_of_batch(batch));
  const Together together(ranks_, {.kind = OrderKind::score, .size = rows.front().size()});
  std::vector<Pending> sent;
  for (int rank = 1; rank < ranks_.size(); ++rank)
    sent.push_back(ranks_.send(rows[std::min(replica_of(rank), rows.size() - 1)], rank));
  StepResults mine;
  mine.micro_batches.push_back({{}, replica_.score(round.front())});
  for (const Pending one : sent) ranks_.wait(one);
  const std::vector<double> seconds = compute_seconds_;
  const std::vector<StepResults> all = gather_results(std::move(mine));
  compute_seconds_ = seconds;
  for (std::size_t i = 0; i < round.size(); ++i) {
    const int replica = static_cast<int>(i);
    const int rank = grid.rank({replica / grid.expert, replica % grid.expert, 0, grid.pipeline - 1});
    batches.done(first + i, round[i], all[static_cast<std::size_t>(rank)].micro_batches.front().scores);
  }
}

double RankedBackend::gradient_norm() {
  const Together together(ranks_, {.kind = OrderKind::norm});
  return replica_.gradient_norm();
}

UpdateNorms RankedBackend::update(double learning_rate, double gradient_factor) {
  const std::uint64_t updates = replica_.optimizer().updates();
  const Together together(ranks_,
                          {.kind = OrderKind::update, .count = updates, .a = learning_rate, .b = gradient_factor});
  return replica_.update(updates, learning_rate, gradient_factor);
}

void RankedBackend::follow(const ModelConfig& model, const TrainConfig& train) {
  const Together together(ranks_, {.kind = OrderKind::settings}, text_of_training({model, train, replica_.layout()}));
  model_ = model;
  replica_.follow(model, train);
}

void RankedBackend::values_changed() {
  const Together together(ranks_, {.kind = OrderKind::values});
  replica_.take_values();
}

std::map<std::string, double> RankedBackend::exchange_seconds() const {
  std::map<std::string, double> seconds;
  for (const auto& [begin, name] : kExchanges) seconds[name] += 0;
  for (const auto& [activity, spent] : ranks_.activity().exchanged())
    for (const auto& [begin, name] : kExchanges)
      if (activity.starts_with(begin)) seconds[name] += spent;
  return seconds;
}

void RankedBackend::begin_save(const SharedSave& save,
                               const std::function<void(const std::vector<TensorFile>&)>& first) {
  const Together together(ranks_, {.kind = OrderKind::save}, text_of_save(save));
  if (!save_) save_.emplace(replica_, save);
  save_->begin(save, [this, first] { first(save_->files()); });
}

std::vector<PartReport> RankedBackend::reports_of_save() {
  const Together together(ranks_, {.kind = OrderKind::report});
  std::vector<PartReport> reports;
  for (const std::string& text : gather_texts(ranks_, report_text(save_->report()))) reports.push_back(report_in(text));
  return reports;
}

void RankedBackend::wait_for_own_save() {
  if (save_) save_->wait();
}

std::string RankedBackend::damage_of_checkpoint(const std::filesystem::path& folder) {
  const Together together(ranks_, {.kind = OrderKind::check}, std::filesystem::absolute(folder).string());
  for (const std::string& damage : check_share(ranks_, folder))
    if (!damage.empty()) return damage;
  return "";
}

}  // namespace millrace
