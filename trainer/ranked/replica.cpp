#include "trainer/ranked/replica.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "model/device/counting_device.h"
#include "model/stop.h"
#include "trainer/backend/open_device.h"
#include "trainer/optimizer/make_optimizer.h"

namespace millrace {
namespace {

/// Pieces of the same sizes.
void copy(const std::vector<Piece>& from, const std::vector<Piece>& to) {
  for (std::size_t i = 0; i < from.size(); ++i) std::ranges::copy(from[i], to[i].begin());
}

ModelPart part_of(const ModelConfig& model, const RankLayout& layout, const ProcessGrid::Place& place) {
  const int experts = model.num_experts / layout.grid.expert;
  return {layout.stages.at(static_cast<std::size_t>(place.pipeline)), {place.expert * experts, experts}};
}

}  // namespace

TrainConfig training_of_rank(TrainConfig train, const ProcessGrid& grid) {
  train.lanes /= grid.data;
  train.expert_lanes /= grid.expert;
  return train;
}

Replica::Replica(Communicator& ranks, const RankLayout& layout, std::unique_ptr<Device> device,
                 const ModelConfig& model, const TrainConfig& train)
    : ranks_(ranks),
      layout_(layout),
      place_(layout.grid.place(ranks.rank())),
      specs_(parameter_specs(model)),
      train_(train),
      owners_(owners_of_ranks(rank_groups(layout.grid, model, layout.stages), ranks.size())),
      sums_(ranks, specs_, owners_),
      data_(ranks.group(place_.pipeline * layout.grid.expert + place_.expert, place_.data)),
      experts_(ranks.group(place_.pipeline * layout.grid.data + place_.data, place_.expert)),
      stage_(ranks.group(place_.pipeline, ranks.rank())),
      pipeline_(ranks.group(place_.data * layout.grid.expert + place_.expert, place_.pipeline)),
      local_(std::move(device), model, training_of_rank(train, layout.grid), part_of(model, layout, place_),
             OwnedParts{owners_[static_cast<std::size_t>(ranks.rank())], &sums_}) {
  if (layout_.grid.expert > 1) {
    local_.transformer().share_experts(&expert_group_.emplace(*experts_, ranks_.activity()));
    local_.sums().tell([this](const GradientPlace& lane) {
      ranks_.activity().begin(Activity::Kind::exchanges, "gradients of a lane");
      add_up_shares(*experts_, local_.device(),
                    own_shares(expert_ranks(), &Parameter::gradient, TensorKind::shared, lane), SumOrder::halves_first);
    });
  }
  if (layout_.grid.pipeline > 1) passes_.emplace(*pipeline_, local_, model.hidden_size, ranks_.activity());
  if (!is_home()) return;
  if (layout_.spreads_model()) {
    home_device_ = open_device("cpu", {}, "train.device");
    home_ = std::make_unique<ParameterMemory>(*home_device_, model, ParameterMemory::Gradients::none);
  }
  whole_ = make_optimizer(train, local_.device(), parameters());
}

int Replica::rank_of(int data, int expert) const {
  return layout_.grid.rank({.data = data, .expert = expert, .tensor = place_.tensor, .pipeline = place_.pipeline});
}

std::vector<std::vector<int>> Replica::data_ranks() const {
  std::vector<std::vector<int>> members;
  for (int data = 0; data < layout_.grid.data; ++data) members.push_back({rank_of(data, place_.expert)});
  return members;
}

std::vector<std::vector<int>> Replica::expert_ranks() const {
  std::vector<std::vector<int>> members(static_cast<std::size_t>(layout_.grid.expert));
  for (int expert = 0; expert < layout_.grid.expert; ++expert)
    for (int data = 0; data < layout_.grid.data; ++data)
      members[static_cast<std::size_t>(expert)].push_back(rank_of(data, expert));
  return members;
}

std::vector<std::vector<int>> Replica::stage_ranks() const {
  std::vector<std::vector<int>> members;
  for (int data = 0; data < layout_.grid.data; ++data)
    for (int expert = 0; expert < layout_.grid.expert; ++expert) members.push_back({rank_of(data, expert)});
  return members;
}

std::vector<std::vector<int>> Replica::all_ranks() const {
  std::vector<std::vector<int>> members;
  for (int rank = 0; rank < ranks_.size(); ++rank) members.push_back({rank});
  return members;
}

Shares Replica::own_shares(const std::vector<std::vector<int>>& members, Tensor Parameter::*tensor, TensorKind kind,
                           const GradientPlace& place) const {
  return RankShares(owners_, local_.parameters()).of(members, tensor, kind, place);
}

Shares Replica::value_shares() const {
  if (is_home()) return RankShares(owners_, parameters()).of(all_ranks(), &Parameter::value, TensorKind::all);
  Shares shares(owners_.size());
  shares[static_cast<std::size_t>(ranks_.rank())] =
      own_shares({{ranks_.rank()}}, &Parameter::value, TensorKind::all).front();
  return shares;
}

std::vector<Piece> Replica::own_state() {
  std::vector<Piece> pieces;
  for (const StateTensor& tensor : local_.optimizer().state()) pieces.push_back(numbers_of(tensor.data));
  return pieces;
}

/// Told by optimizers on a device that has no memory.
std::vector<std::vector<StateTensor>> Replica::state_of_owners() {
  std::vector<std::vector<StateTensor>> all;
  for (const std::vector<ParameterPart>& parts : owners_) {
    CountingDevice device(local_.device().precision(), true);
    const ParameterMemory whole(device, specs_, ParameterMemory::Gradients::none);
    all.push_back(make_optimizer(train_, device, whole.views(), {parts, &sums_})->state());
  }
  return all;
}

Shares Replica::state_shares() {
  Shares shares(owners_.size());
  if (!is_home()) {
    shares[static_cast<std::size_t>(ranks_.rank())] = own_state();
    return shares;
  }
  std::map<std::string, Piece> whole;
  for (const StateTensor& tensor : whole_->state()) whole[tensor.name] = numbers_of(tensor.data);
  const std::vector<std::vector<StateTensor>> owned = state_of_owners();
  for (std::size_t owner = 0; owner < owned.size(); ++owner)
    for (const StateTensor& tensor : owned[owner])
      shares[owner].push_back(
          whole.at(tensor.name)
              .subspan(static_cast<std::size_t>(tensor.first), static_cast<std::size_t>(tensor.size())));
  return shares;
}

void Replica::initialize(const UniformNumbers& uniform) {
  if (home_)
    home_->initialize(uniform);
  else
    local_.initialize(uniform);
}

double Replica::waited() const {
  double seconds = 0;
  for (const Traffic::Count& count : ranks_.traffic().by_operation) seconds += count.waited;
  return seconds;
}

StepResults Replica::compute(const MicroBatches& batches) {
  StepResults results;
  Activity& activity = ranks_.activity();
  MicroBatches own = batches;
  own.rows = [&](std::size_t i) {
    activity.begin(Activity::Kind::exchanges, "rows");
    const TokenBatch rows = batches.rows(i);
    activity.begin_step(rows.step + 1);
    activity.begin(Activity::Kind::works, fmt::format("computes micro-batch {} of {}", i + 1, batches.count));
    return rows;
  };
  own.done = [&](std::size_t, const Losses& losses, const TokenScores& scores) {
    results.micro_batches.push_back({losses, scores});
  };
  const auto start = std::chrono::steady_clock::now();
  const double waited_before = waited();
  try {
    std::optional<HeldStop> until_all_are_done;
    if (layout_.spreads_model()) until_all_are_done.emplace();
    if (passes_)
      passes_->forward_backward(own);
    else
      local_.forward_backward(own);
    until_all_are_done.reset();
    throw_if_stopped();
  } catch (const Stopped&) {
    results.is_stopped = true;
    results.micro_batches.clear();
  }
  results.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() - (waited() - waited_before);
  return results;
}

void Replica::add_up() {
  ranks_.activity().begin(Activity::Kind::exchanges, "gradients");
  add_up_shares(*data_, local_.device(), own_shares(data_ranks(), &Parameter::gradient, TensorKind::all),
                SumOrder::neighbours_first);
}

TokenScores Replica::score(const TokenBatch& batch) {
  const HeldStop until_all_are_done;
  return passes_ ? passes_->score(batch) : local_.transformer().score(batch);
}

double Replica::gradient_norm() {
  ranks_.activity().begin(Activity::Kind::exchanges, "sums of gradients");
  return local_.gradient_norm();
}

UpdateNorms Replica::update(std::uint64_t updates, double learning_rate, double gradient_factor) {
  ranks_.activity().begin(Activity::Kind::exchanges, "sums of the update");
  local_.optimizer().set_updates(updates);
  const UpdateNorms norms = local_.update(learning_rate, gradient_factor);
  if (is_home()) whole_->set_updates(updates + 1);
  give_values();
  return norms;
}

void Replica::give_values() {
  ranks_.activity().begin(Activity::Kind::exchanges, "weights");
  if (layout_.grid.expert == 1) {
    give_shares(*data_, own_shares(data_ranks(), &Parameter::value, TensorKind::all));
  } else {
    give_shares(*stage_, own_shares(stage_ranks(), &Parameter::value, TensorKind::shared));
    give_shares(*data_, own_shares(data_ranks(), &Parameter::value, TensorKind::experts));
  }
  local_.values_changed();
}

void Replica::follow(const ModelConfig& model, const TrainConfig& train) {
  local_.follow(model, train);
}

void Replica::take_values() {
  ranks_.activity().begin(Activity::Kind::exchanges, "weights");
  const Shares values = value_shares();
  send_shares_out(ranks_, values);
  if (home_) copy(values[0], own_shares({{0}}, &Parameter::value, TensorKind::all).front());
  const Shares state = state_shares();
  send_shares_out(ranks_, state);
  if (is_home()) copy(state[0], own_state());
  give_values();
}

}  // namespace millrace
