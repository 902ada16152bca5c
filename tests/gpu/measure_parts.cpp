#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "model/cost/activated_parameters.h"
#include "model/cost/activation_memory.h"
#include "model/cost/flops.h"
#include "model/cost/peak_flops.h"
#include "model/kernels/rows.h"
#include "model/optimizer/adafactor.h"
#include "model/transformer/generator.h"
#include "model/transformer/transformer.h"
#include "tests/gpu/check_parts.h"
#include "tests/model/test_support.h"

namespace millrace::test {
namespace {

constexpr double kGiga = 1e9;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

ModelConfig model_of(const char* preset) {
  ModelConfig config = model_preset(preset);
  config.capacity_rule = CapacityRule::flaxformer;
  return config;
}

/// Fills a tensor of the parameter's shape, of f32 or bf16, with numbers of its initializer, which soon repeat
/// themselves: for measuring, where drawing them all would take longer than the work.
void fill(Device& device, const ParameterSpec& spec, const Tensor& tensor) {
  constexpr std::int64_t kMost = std::int64_t{1} << 22;
  const std::int64_t count = std::min(spec.size(), kMost);
  std::vector<float> numbers(static_cast<std::size_t>(count));
  draw_values<float>(spec, 0, 0, numbers, [](std::uint64_t, std::uint64_t element) { return uniform(7, element); });
  std::vector<Bf16> images;
  if (tensor.type == Type::bf16)
    for (const float number : numbers) images.push_back(rounded(number));
  const void* from = tensor.type == Type::bf16 ? static_cast<const void*>(images.data()) : numbers.data();
  for (std::int64_t at = 0; at < spec.size(); at += count) {
    auto* to = static_cast<std::byte*>(tensor.data) + static_cast<std::size_t>(at) * bytes_of(tensor.type);
    device.to_device(to, from, static_cast<std::size_t>(std::min(count, spec.size() - at)) * bytes_of(tensor.type));
  }
}

/// Why so many bytes do not fit into a device; nothing: they do, or its memory is the process's.
std::optional<Verdict> shortage(Device& device, std::uint64_t bytes) {
  const std::uint64_t free = device.free_bytes();
  if (free == 0 || bytes <= free) return std::nullopt;
  return Verdict{Verdict::Kind::skip,
                 fmt::format("takes {:.1f} GB of memory, {:.1f} GB are free", static_cast<double>(bytes) / kGiga,
                             static_cast<double>(free) / kGiga),
                 {}};
}

/// Rows of random numbers, with an example a row and padding behind it if they are padded.
struct Rows {
  RandomBatch batch;
  std::vector<std::int32_t> segments;
  int real;

  Rows(const TrainingCase& training, int vocabulary)
      : batch(training.rows, training.length, vocabulary, 5), real(training.length) {
    if (!training.is_padded) return;
    constexpr double kReal = 0.6725;
    constexpr double kWithLoss = 0.2965;
    real = static_cast<int>(kReal * training.length);
    const int first_target = real - static_cast<int>(kWithLoss * training.length);
    for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
      const int position = static_cast<int>(i) % training.length;
      segments.push_back(position < real ? 1 : 0);
      if (position >= real) batch.tokens[i] = 0;
      batch.weights[i] = position >= first_target && position < real ? 1.0F : 0.0F;
    }
  }
  TokenBatch view() const {
    TokenBatch rows = batch.view();
    if (!segments.empty()) rows.segment_ids = segments.data();
    return rows;
  }
  double with_loss() const { return static_cast<double>(std::ranges::count(batch.weights, 1.0F)); }
};

std::vector<std::string> milliseconds(const Profile& profile) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < kPartNames.size(); ++i)
    if (profile.seconds[i] > 0)
      lines.push_back(fmt::format("{:14} {:8.2f} ms", kPartNames[i], 1e3 * profile.seconds[i]));
  return lines;
}

}  // namespace

Verdict measure_products(const CheckSetup& setup, Precision precision) {
  const std::unique_ptr<Device> device = setup.open({precision});
  const Index side = setup.is_card ? 8192 : 256;
  return verdict(true, fmt::format("{:.1f} TFLOP/s at {}^3", product_rate(*device, side) / 1e12, side));
}

namespace {

double copy_rate(Device& device, Index rows) {
  constexpr Index kColumns = 8192;
  Buffer from(device), to(device);
  const Tensor source = from.shaped(rows, kColumns, device.real());
  const Tensor target = to.shaped(rows, kColumns, device.real());
  const auto bytes = static_cast<std::size_t>(source.size()) * bytes_of(source.type);
  device.clear(source.data, bytes);
  double best = 1e9;
  for (int repeat = 0; repeat < 5; ++repeat) {
    device.wait();
    best = std::min(best, seconds_of([&] {
                      device.run(CopyRows{source, target}, rows);
                      device.wait();
                    }));
  }
  return 2 * static_cast<double>(bytes) / best;
}

}  // namespace

Verdict measure_memory(const CheckSetup& setup) {
  const std::unique_ptr<Device> device = setup.open({Precision::f32});
  const double rate = copy_rate(*device, setup.is_card ? 1 << 16 : 64);
  return verdict(true, fmt::format("{:.0f} GB/s, read and written", rate / kGiga));
}

Verdict measure_training(const CheckSetup& setup, const TrainingCase& training) {
  const std::unique_ptr<Device> device = setup.open({Precision::bf16, training.deterministic});
  const ModelConfig config = model_of(training.preset);
  const auto parameters = static_cast<std::uint64_t>(parameter_count(config));
  const std::uint64_t bytes =
      parameters * (2 * sizeof(float) + sizeof(Bf16)) +
      activation_bytes(config, {.rows = training.rows,
                                .length = training.length,
                                .precision = Precision::bf16,
                                .recompute = training.recompute ? Recompute::yes : Recompute::no,
                                .on_card = setup.is_card});
  if (const auto too_little = shortage(*device, bytes)) return *too_little;
  const double limit = product_rate(*device, setup.is_card ? 8192 : 256);
  ParameterMemory memory(*device, config, ParameterMemory::Gradients::allocated);
  for (const Parameter& parameter : memory.views().all) fill(*device, parameter.spec, parameter.value);
  memory.round_values();
  Adafactor optimizer(*device, memory.views());
  Transformer model(*device, config, memory.views(), training.recompute ? Recompute::yes : Recompute::no);
  const Rows rows(training, config.vocab_size);
  Losses losses;
  double forward_backward = 1e9;
  double update = 1e9;
  for (int step = 0; step < (setup.is_card ? 6 : 2); ++step) {
    memory.zero_gradients();
    device->wait();
    forward_backward = std::min(forward_backward, seconds_of([&] { losses = model.forward_backward(rows.view(), 1); }));
    update = std::min(update, seconds_of([&] {
                        optimizer.gradient_norm();
                        optimizer.update(1e-3, 1);
                        device->wait();
                      }));
  }
  Profile profile;
  profile.settle = [&] { device->wait(); };
  model.measure(&profile);
  model.forward_backward(rows.view(), 1);
  const double positions = static_cast<double>(training.rows) * training.length;
  const double pairs = static_cast<double>(rows.real) * (rows.real + 1) / 2;
  ProductWork work{positions, rows.with_loss(), training.rows * pairs, 0};
  for (const RouterStatistics& router : losses.routers) work.expert_pairs += static_cast<double>(router.kept);
  const double rate = product_operations(config, work) / forward_backward;
  Verdict told = verdict(
      std::isfinite(losses.total),
      fmt::format("{:.0f} tokens/s forward and backward, {:.1f} TFLOP/s, {:.0f} % of the products'; update {:.1f} ms; "
                  "{:.1f} GB; loss {:.3f}",
                  positions / forward_backward, rate / 1e12, 100 * rate / limit, 1e3 * update,
                  static_cast<double>(bytes) / kGiga, losses.total));
  told.lines = milliseconds(profile);
  return told;
}

Verdict measure_generation(const CheckSetup& setup, const char* preset) {
  const std::unique_ptr<Device> device = setup.open({Precision::bf16});
  const ModelConfig config = model_of(preset);
  const auto all = static_cast<std::uint64_t>(parameter_count(config)) * sizeof(Bf16);
  if (const auto too_little = shortage(*device, all + (std::uint64_t{1} << 30U))) return *too_little;
  // Matrices in the type that products read alone, one behind another, as checkpoints are opened.
  const auto type_of = [](const ParameterSpec& spec) {
    return has_image(spec) || is_looked_up(spec) ? Type::bf16 : Type::f32;
  };
  const auto bytes_of_one = [&](const ParameterSpec& spec) {
    return (static_cast<std::size_t>(spec.size()) * bytes_of(type_of(spec)) + 255) / 256 * 256;
  };
  const std::vector<ParameterSpec> specs = parameter_specs(config);
  std::size_t bytes = 0;
  for (const ParameterSpec& spec : specs) bytes += bytes_of_one(spec);
  Buffer memory(*device);
  memory.shaped(1, static_cast<Index>(bytes), Type::u8);
  std::size_t filled = 0;
  Parameters weights;
  for (const ParameterSpec& spec : specs) {
    const Type type = type_of(spec);
    const Tensor tensor = parameter_tensor(spec, static_cast<std::byte*>(memory.tensor().data) + filled, type);
    filled += bytes_of_one(spec);
    fill(*device, spec, tensor);
    weights.all.push_back({spec, has_image(spec) ? Tensor{} : tensor, {}, has_image(spec) ? tensor : Tensor{}});
  }
  constexpr int kPrompt = 32;
  const int count = setup.is_card ? 128 : 4;
  Generator generator(*device, config, weights, kPrompt + count);
  const RandomBatch prompt(1, kPrompt, config.vocab_size, 5);
  std::vector<std::chrono::steady_clock::time_point> times;
  generator.generate(prompt.tokens, count, config.vocab_size, {.temperature = 0}, [&](std::int32_t) {
    times.push_back(std::chrono::steady_clock::now());
    return true;
  });
  const double seconds =
      std::chrono::duration<double>(times.back() - times.front()).count() / static_cast<double>(times.size() - 1);
  const double used = 2.0 * static_cast<double>(parameter_counts(config).activated());
  const double copying = copy_rate(*device, setup.is_card ? 1 << 16 : 64);
  return verdict(true,
                 fmt::format("{:.1f} tokens/s; of {:.1f} GB, {:.2f} are used by a token: {:.0f} GB/s, {:.0f} % of "
                             "what copying reads and writes",
                             1 / seconds, static_cast<double>(all) / kGiga, used / kGiga, used / seconds / kGiga,
                             100 * used / seconds / copying));
}

}  // namespace millrace::test
