#include "trainer/distributed/process_grid.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "stages/errors.h"

namespace millrace {
namespace {

constexpr int kMostRanks = 1 << 20;

struct Width {
  const char* name;
  int GridWish::*wished;
};
constexpr Width kWidths[]{{"data", &GridWish::data},
                          {"expert", &GridWish::expert},
                          {"tensor", &GridWish::tensor},
                          {"pipeline", &GridWish::pipeline}};

std::vector<int> divisors(int number) {
  std::vector<int> all;
  for (int i = 1; i <= number; ++i)
    if (number % i == 0) all.push_back(i);
  return all;
}

/// "8, 4, 2 or 1"
std::string any_of(const std::vector<int>& numbers) {
  if (numbers.size() == 1) return fmt::format("{}", numbers.front());
  const std::vector<int> front(numbers.begin(), numbers.end() - 1);
  return fmt::format("{} or {}", fmt::join(front, ", "), numbers.back());
}

std::vector<int> falling_divisors(int number, int most) {
  std::vector<int> all = divisors(number);
  std::erase_if(all, [&](int one) { return one > most; });
  std::ranges::reverse(all);
  return all;
}

/// Why the run's lanes refuse a width; empty: they do not.
std::string fault_of_width(const char* width, int value, const char* key, int lanes) {
  if (lanes % value == 0) return {};
  const std::string smaller = any_of(falling_divisors(lanes, value));
  if (!std::has_single_bit(static_cast<unsigned>(value)))
    return fmt::format("grid: {} {} does not divide train.{} = {}. Use {} {}", width, value, key, lanes, width,
                       smaller);
  return fmt::format(
      "grid: {0} {1} does not divide train.{2} = {3}. Use {0} {4}, or --set train.{2}={1}: a new run just takes it, "
      "one "
      "that was begun goes on with --accept-changes as well (its last digits change)",
      width, value, key, lanes, smaller);
}

std::string fault_of_widths(const ProcessGrid& grid, const ModelConfig& model, const TrainConfig& train) {
  if (std::string fault = fault_of_width("data", grid.data, "lanes", train.lanes); !fault.empty()) return fault;
  if (std::string fault = fault_of_width("expert", grid.expert, "expert_lanes", train.expert_lanes); !fault.empty())
    return fault;
  if (model.num_experts % grid.expert != 0)
    return fmt::format("grid: expert {} does not divide num_experts = {} ({} do)", grid.expert, model.num_experts,
                       fmt::join(divisors(model.num_experts), ", "));
  if (model.num_attention_heads % grid.tensor != 0)
    return fmt::format("grid: tensor {} does not divide num_attention_heads = {} ({} do)", grid.tensor,
                       model.num_attention_heads, fmt::join(divisors(model.num_attention_heads), ", "));
  if (grid.pipeline > model.num_hidden_layers)
    return fmt::format("grid: pipeline {}, the model has {} layers", grid.pipeline, model.num_hidden_layers);
  return {};
}

double distance(int wished, int is) {
  return std::abs(std::log2(static_cast<double>(std::max(wished, 1)) / is));
}

/// Grids of so many ranks that fit, nearest to the wish first.
std::vector<ProcessGrid> fitting(const GridWish& wish, int ranks, const ModelConfig& model, const TrainConfig& train) {
  std::vector<ProcessGrid> all;
  if (ranks % wish.tensor != 0) return all;
  for (const int expert : divisors(ranks / wish.tensor)) {
    for (const int pipeline : divisors(ranks / wish.tensor / expert)) {
      const ProcessGrid grid{ranks / wish.tensor / expert / pipeline, expert, wish.tensor, pipeline};
      if (fault_of_widths(grid, model, train).empty()) all.push_back(grid);
    }
  }
  std::ranges::stable_sort(all, {}, [&](const ProcessGrid& grid) {
    const double of_data = wish.data > 0 ? distance(wish.data, grid.data) : 0;
    return std::tuple(distance(wish.expert, grid.expert) + distance(wish.pipeline, grid.pipeline) + of_data,
                      grid.pipeline);
  });
  return all;
}

std::string suggestions(const GridWish& wish, int ranks, const ModelConfig& model, const TrainConfig& train) {
  constexpr std::size_t kMost = 3;
  std::vector<ProcessGrid> grids = fitting(wish, ranks, model, train);
  if (!grids.empty()) {
    if (grids.size() > kMost) grids.resize(kMost);
    std::vector<std::string> texts;
    for (const ProcessGrid& grid : grids) texts.push_back(grid.text());
    return fmt::format("With {}: {}", ranks, fmt::join(texts, "; "));
  }
  for (int fewer = ranks - 1; fewer > 0; --fewer) {
    grids = fitting(wish, fewer, model, train);
    if (!grids.empty()) return fmt::format("No grid of {} ranks fits; of {}: {}", ranks, fewer, grids.front().text());
  }
  return fmt::format("No number of ranks fits tensor {}", wish.tensor);
}

/// micro_rows whose micro-batches lanes and experts' lanes divide; none: no number does.
std::optional<std::pair<int, int>> lanes_that_divide(int micro_batches, const TrainConfig& train) {
  int lanes = train.lanes;
  int expert_lanes = train.expert_lanes;
  while (micro_batches % lanes != 0) lanes /= 2;
  while (micro_batches / lanes % expert_lanes != 0) expert_lanes /= 2;
  if (lanes < 1 || expert_lanes < 1) return std::nullopt;
  return std::pair(lanes, expert_lanes);
}

std::string fault_of_lanes(const TrainConfig& train) {
  const int micro_batches = train.batch_rows / train.micro_rows;
  if (micro_batches % (static_cast<std::int64_t>(train.lanes) * train.expert_lanes) == 0) return {};
  const auto nearest = lanes_that_divide(micro_batches, train);
  return fmt::format("batch_rows / micro_rows = {} micro-batches; lanes {} x expert_lanes {} does not divide them{}",
                     micro_batches, train.lanes, train.expert_lanes,
                     nearest ? fmt::format("; {} x {} does", nearest->first, nearest->second) : "");
}

}  // namespace

GridWish parse_grid(const std::string& text, const std::string& where, GridWish wish) {
  const auto fail = [&](std::string_view part) {
    throw ConfigError(
        fmt::format("{} has \"{}\", expected data=N, expert=N, tensor=N or pipeline=N, N from 1, joined by "
                    "commas: data=4,expert=8",
                    where, part));
  };
  const std::string_view all(text);
  for (std::size_t first = 0; first <= all.size();) {
    const std::size_t end = std::min(all.find(',', first), all.size());
    const std::string_view part = all.substr(first, end - first);
    const std::size_t sign = part.find('=');
    const auto* const width = std::ranges::find_if(
        kWidths, [&](const Width& one) { return sign != std::string_view::npos && part.substr(0, sign) == one.name; });
    if (width == std::end(kWidths)) fail(part);
    int number = 0;
    const auto [at, error] = std::from_chars(part.data() + sign + 1, part.data() + part.size(), number);
    if (error != std::errc() || at != part.data() + part.size() || number < 1 || number > kMostRanks) fail(part);
    wish.*(width->wished) = number;
    first = end + 1;
  }
  return wish;
}

ProcessGrid::Place ProcessGrid::place(int rank) const {
  Place place;
  place.tensor = rank % tensor;
  rank /= tensor;
  place.expert = rank % expert;
  rank /= expert;
  place.data = rank % data;
  place.pipeline = rank / data;
  return place;
}

int ProcessGrid::rank(const Place& place) const {
  return ((place.pipeline * data + place.data) * expert + place.expert) * tensor + place.tensor;
}

std::string ProcessGrid::text() const {
  return fmt::format("data {} x expert {} x tensor {} x pipeline {}", data, expert, tensor, pipeline);
}

ProcessGrid process_grid(const GridWish& wish, int ranks, const ModelConfig& model, const TrainConfig& train) {
  if (const std::string fault = fault_of_lanes(train); !fault.empty()) throw ConfigError(fault);
  const long long named = static_cast<long long>(wish.expert) * wish.tensor * wish.pipeline;
  if (ranks % named != 0)
    throw ConfigError(fmt::format("grid: expert {} x tensor {} x pipeline {} does not divide {} ranks. {}", wish.expert,
                                  wish.tensor, wish.pipeline, ranks, suggestions(wish, ranks, model, train)));
  if (wish.data > 0 && named * wish.data != ranks)
    throw ConfigError(fmt::format(
        "grid: data {} x expert {} x tensor {} x pipeline {} is {} ranks, but {} were started. {}", wish.data,
        wish.expert, wish.tensor, wish.pipeline, named * wish.data, ranks, suggestions(wish, ranks, model, train)));
  const ProcessGrid grid{static_cast<int>(ranks / named), wish.expert, wish.tensor, wish.pipeline};
  if (const std::string fault = fault_of_widths(grid, model, train); !fault.empty()) throw ConfigError(fault);
  return grid;
}

std::string fault_of_grid(const ProcessGrid& grid) {
  if (grid.tensor == 1) return {};
  return fmt::format("grid: tensor {}: ranks that share a stage are not built; use tensor=1 and more of the others",
                     grid.tensor);
}

std::string bubble_warning(const ProcessGrid& grid, const TrainConfig& train) {
  constexpr double kMuch = 0.2;
  const auto bubble = [&](int micro_rows) {
    const int micro_batches = train.batch_rows / micro_rows / grid.replicas();
    return static_cast<double>(grid.pipeline - 1) / (micro_batches + grid.pipeline - 1);
  };
  if (grid.pipeline == 1 || bubble(train.micro_rows) < kMuch) return {};
  std::string less;
  for (const int micro_rows : falling_divisors(train.micro_rows, train.micro_rows - 1)) {
    if (bubble(micro_rows) >= kMuch && micro_rows > 1) continue;
    less = fmt::format("; micro_rows = {} gives {:.0f} %", micro_rows, 100 * bubble(micro_rows));
    break;
  }
  return fmt::format("{} micro-batches a replica in {} stages: {:.0f} % of the time is the pipeline's bubble{}",
                     train.batch_rows / train.micro_rows / grid.replicas(), grid.pipeline,
                     100 * bubble(train.micro_rows), less);
}

}  // namespace millrace
