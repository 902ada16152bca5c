#include "trainer/ranked/rank_save.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "model/device/counting_device.h"
#include "model/optimizer/optimizer.h"
#include "model/optimizer/owned_parts.h"
#include "model/parameters/parameter.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "trainer/checkpoint/checkpoint_folder.h"
#include "trainer/distributed/orders.h"
#include "trainer/optimizer/make_optimizer.h"
#include "trainer/ranked/rank_shares.h"

namespace millrace {
namespace {

TensorView without_memory(const std::string& name, const std::vector<std::int64_t>& shape) {
  return {name, TensorType::f32, shape, nullptr};
}

/// Of the optimizer of everything.
std::vector<TensorView> state_tensors(const std::vector<ParameterSpec>& specs, const TrainConfig& train) {
  CountingDevice device(Precision::f32, true);
  const ParameterMemory parameters(device, specs, ParameterMemory::Gradients::none);
  std::vector<TensorView> views;
  for (const StateTensor& tensor : make_optimizer(train, device, parameters.views())->state())
    views.push_back(without_memory(tensor.name, tensor.shape));
  return views;
}

/// The place among the writers.
int place_of(int rank, const std::vector<int>& writers) {
  return static_cast<int>(std::ranges::find(writers, rank) - writers.begin());
}

std::span<float> numbers_in(std::span<std::byte> bytes) {
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

}  // namespace

std::string text_of_save(const SharedSave& save) {
  return json_line({{"folder", save.folder.string()},
                    {"step", save.step},
                    {"writers", save.writers},
                    {"most_bytes", save.most_bytes}});
}

SharedSave save_in(const std::string& text) {
  const JsonValue json = JsonValue::parse(text, {.name = "what rank 0 says", .line = 0, .remedy = ""});
  return {json.get<std::string>("folder"), json.get<std::uint64_t>("step"), json.get<std::vector<int>>("writers"),
          json.get<std::uint64_t>("most_bytes")};
}

std::vector<int> writers_by_machine(const std::vector<std::string>& hosts) {
  std::map<std::string, int> ranks_of;
  std::vector<std::pair<int, int>> writers;  // The number on its machine, the rank.
  for (std::size_t rank = 0; rank < hosts.size(); ++rank)
    writers.emplace_back(ranks_of[hosts[rank]]++, static_cast<int>(rank));
  std::ranges::sort(writers);
  std::vector<int> ranks;
  for (const auto& [number, rank] : writers) ranks.push_back(rank);
  return ranks;
}

std::vector<TensorFile> files_to_save(const std::vector<ParameterSpec>& specs, const TrainConfig& train,
                                      std::uint64_t most_bytes) {
  std::vector<TensorView> parameters;
  for (const ParameterSpec& spec : specs) parameters.push_back(without_memory(spec.name, spec.shape));
  return checkpoint_files(parameters, state_tensors(specs, train), most_bytes);
}

std::vector<std::uint64_t> bytes_of_writers(const std::vector<ParameterSpec>& specs, const TrainConfig& train,
                                            int writers) {
  std::vector<std::uint64_t> bytes(static_cast<std::size_t>(writers));
  const std::vector<TensorFile> files = files_to_save(specs, train);
  for (std::size_t i = 0; i < files.size(); ++i)
    for (const TensorView& tensor : files[i].tensors)
      bytes[static_cast<std::size_t>(writer_of(i, writers))] += tensor.bytes();
  return bytes;
}

/// Others may need long: the disk is waited for, not they.
std::vector<std::string> check_share(Communicator& ranks, const std::filesystem::path& folder) {
  ranks.activity().begin(Activity::Kind::works, "reads a checkpoint");
  const std::string damage =
      damage_of(folder, {static_cast<std::size_t>(ranks.rank()), static_cast<std::size_t>(ranks.size())});
  ranks.activity().begin(Activity::Kind::listens, "others that read a checkpoint");
  return gather_texts(ranks, damage);
}

RankSave::RankSave(Replica& replica, const SharedSave& save)
    : replica_(replica),
      part_(files_to_save(replica.specs(), replica.train(), save.most_bytes),
            place_of(replica.ranks().rank(), save.writers), replica.ranks().size()) {
  std::vector<Entry> entries;  // The model's, then the optimizer's.
  for (std::size_t file = 0; file < files().size(); ++file)
    for (std::size_t tensor = 0; tensor < files()[file].tensors.size(); ++tensor) entries.push_back({file, tensor});
  const auto state = entries.begin() + static_cast<std::ptrdiff_t>(replica.specs().size());
  list_values({entries.begin(), state}, save.writers);
  list_state({state, entries.end()}, save.writers);
}

bool RankSave::has(int rank, const ParameterSpec& spec, int owner) const {
  const ProcessGrid::Place one = replica_.layout().grid.place(rank);
  const ProcessGrid::Place other = replica_.layout().grid.place(owner);
  return one.pipeline == other.pipeline && (!spec.per_expert || one.expert == other.expert);
}

void RankSave::add(const Delivery& delivery) {
  const int own = replica_.ranks().rank();
  if (delivery.from == own || delivery.to == own) deliveries_.push_back(delivery);
}

void RankSave::list_values(const std::vector<Entry>& entries, const std::vector<int>& writers) {
  const int own = replica_.ranks().rank();
  const auto count = static_cast<int>(writers.size());
  for (int owner = 0; owner < count; ++owner) {
    for (const ParameterPart& part : replica_.owners()[static_cast<std::size_t>(owner)]) {
      const ParameterSpec& spec = replica_.specs()[part.parameter];
      const Entry& entry = entries[part.parameter];
      Delivery one;
      one.to = writers[static_cast<std::size_t>(writer_of(entry.file, count))];
      one.from = has(one.to, spec, owner) ? one.to : owner;
      if (one.from == own)
        one.source = numbers_of(part_of(replica_.local().parameters().all[part.parameter].value, part));
      if (one.to == own) {
        void* const memory = part_.memory_of(entry.file, entry.tensor).data();
        one.place = numbers_of(part_of(parameter_tensor(spec, memory, Type::f32), part));
      }
      add(one);
    }
  }
}

/// What owners of one matrix both have comes from one of them: the writer, or else the first.
void RankSave::list_state(const std::vector<Entry>& entries, const std::vector<int>& writers) {
  const int own = replica_.ranks().rank();
  const auto count = static_cast<int>(writers.size());
  std::map<std::string, Entry> by_name;
  for (const Entry& entry : entries) by_name[files()[entry.file].tensors[entry.tensor].name] = entry;
  std::map<std::pair<std::string, std::int64_t>, Delivery> by_place;
  const std::vector<std::vector<StateTensor>> all = replica_.state_of_owners();
  const std::vector<StateTensor> here = replica_.local().optimizer().state();
  for (int owner = 0; owner < count; ++owner) {
    const std::vector<StateTensor>& owned = all[static_cast<std::size_t>(owner)];
    for (std::size_t i = 0; i < owned.size(); ++i) {
      const Entry& entry = by_name.at(owned[i].name);
      Delivery one;
      one.to = writers[static_cast<std::size_t>(writer_of(entry.file, count))];
      one.from = owner;
      if (owner == own) one.source = numbers_of(here.at(i).data);
      if (one.to == own)
        one.place = numbers_in(part_.memory_of(entry.file, entry.tensor))
                        .subspan(static_cast<std::size_t>(owned[i].first), static_cast<std::size_t>(owned[i].size()));
      const auto [known, is_new] = by_place.try_emplace({owned[i].name, owned[i].first}, one);
      if (!is_new && owner == one.to) known->second = one;
    }
  }
  for (const auto& [place, one] : by_place) add(one);
}

void RankSave::take() {
  Communicator& ranks = replica_.ranks();
  ranks.activity().begin(Activity::Kind::exchanges, "a checkpoint's tensors");
  std::vector<Pending> begun;
  for (const Delivery& one : deliveries_) {
    if (one.from == one.to) continue;
    begun.push_back(one.to == ranks.rank() ? ranks.receive(std::as_writable_bytes(one.place), one.from)
                                           : ranks.send(std::as_bytes(one.source), one.to));
  }
  for (const Delivery& one : deliveries_)
    if (one.from == one.to) std::ranges::copy(one.source, one.place.begin());
  for (const Pending one : begun) ranks.wait(one);
}

void RankSave::begin(const SharedSave& save, const std::function<void()>& first) {
  take();
  part_.begin(save.folder, save.step, first);
}

}  // namespace millrace
