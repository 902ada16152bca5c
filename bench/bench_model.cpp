// What a training step costs, beside the limit and beside PyTorch, as a table:
//   (a) oneDNN's own rate of matrix products on this machine, f32 and bf16: the limit
//   (b) a step (forward, backward, Adafactor) of a small OpenMoE, 8 x 512 tokens; --peer SCRIPT runs PyTorch's at once
//       after it, on as many threads, and puts it in the same table
//   (c) --base: a step of OpenMoE-Base, vocabulary 256,384, 2 x 2048 tokens
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <omp.h>
#include <sys/resource.h>

#include "model/bf16.h"
#include "model/cost/flops.h"
#include "model/cost/peak_flops.h"
#include "model/cpu/cpu_device.h"
#include "model/optimizer/optimizer.h"
#include "model/transformer/transformer.h"
#include "trainer/optimizer/make_optimizer.h"

namespace millrace {
namespace {

constexpr int kPeerSeconds = 900;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// As product_operations says, all positions real and with loss, one segment a row.
double step_operations(const ModelConfig& config, const Losses& losses, double tokens, double length) {
  ProductWork work{tokens, tokens, tokens * (length + 1) / 2, 0};
  for (const RouterStatistics& router : losses.routers) work.expert_pairs += static_cast<double>(router.kept);
  return product_operations(config, work);
}

ModelConfig small() {
  ModelConfig config;
  config.vocab_size = 32000;
  config.hidden_size = 512;
  config.intermediate_size = 1024;
  config.num_hidden_layers = 8;
  config.num_attention_heads = 8;
  config.head_dim = 64;
  config.num_experts = 8;
  config.capacity_rule = CapacityRule::dropless;
  return config;
}

double gibibytes_used() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / (1024 * 1024);
}

void print_row(const std::string& name, double tokens, double rate, double limit, const std::string& memory) {
  fmt::print("| {} | {:.1f} | {:.0f} | {:.0f} % | {} |\n", name, tokens, rate / 1e9, 100 * rate / limit, memory);
  std::fflush(stdout);
}

/// Prints a line of the table: the best of `steps` steps after a first that compiles. Returns its tokens a second.
double training_step(const std::string& name, const ModelConfig& config, int rows, int length, Precision precision,
                     int steps, double limit) {
  CpuDevice device(precision);
  ParameterMemory memory(device, config, ParameterMemory::Gradients::allocated);
  memory.initialize([](std::uint64_t tensor, std::uint64_t element) {
    return static_cast<double>((tensor * 7919 + element * 2654435761U) % 1000003) / 1000003;
  });
  const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(length);
  const auto vocabulary = static_cast<std::uint64_t>(config.vocab_size - 1);
  std::vector<std::int32_t> tokens(count), labels(count);
  for (std::size_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<std::int32_t>(1 + i * 2654435761U % vocabulary);
    labels[i] = static_cast<std::int32_t>(1 + (i + 1) * 2654435761U % vocabulary);
  }
  memory.round_values();
  const std::vector<float> weights(count, 1);
  const auto optimizer = make_optimizer({}, device, memory.views());
  Transformer model(device, config, memory.views());
  const TokenBatch batch{rows, length, tokens.data(), labels.data(), weights.data(), nullptr, nullptr};
  Losses losses;
  double best = 1e9;
  for (int step = 0; step <= steps; ++step) {
    const double seconds = seconds_of([&] {
      memory.zero_gradients();
      losses = model.forward_backward(batch, 1.0);
      optimizer->gradient_norm();
      optimizer->update(1e-3, 1);
    });
    if (step > 0) best = std::min(best, seconds);
  }
  const double rate = step_operations(config, losses, static_cast<double>(count), length) / best;
  print_row(name, static_cast<double>(count) / best, rate, limit, fmt::format("{:.1f}", gibibytes_used()));
  return static_cast<double>(count) / best;
}

/// What a shell command prints. Empty if it fails.
std::string output_of(const std::string& command) {
  std::fflush(stdout);
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  std::string text;
  std::array<char, 512> part{};
  while (std::fgets(part.data(), static_cast<int>(part.size()), pipe) != nullptr) text += part.data();
  return pclose(pipe) == 0 ? text : std::string();
}

/// The number that stands behind `name` in a text; 0 if there is none.
double number_after(const std::string& text, const std::string& name) {
  const std::size_t at = text.find(name + " ");
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + name.size(), nullptr);
}

/// PyTorch's line of the table, by its own count of operations, and how our rate compares with its.
void run_peer(const std::string& script, const std::string& type, double limit, double our_tokens) {
  const std::string command = fmt::format("timeout {} /usr/bin/python3 '{}' --shape small --dtype {} --threads {}",
                                          kPeerSeconds, script, type, omp_get_max_threads());
  const std::string text = output_of(command);
  const double tokens = number_after(text, "tokens/s");
  if (tokens <= 0) {
    fmt::print("(the peer failed or took longer than {} s: {})\n", kPeerSeconds, command);
    return;
  }
  print_row("PyTorch, small, " + type, tokens, number_after(text, "GFLOP/s") * 1e9, limit, "");
  fmt::print("| **ours / PyTorch** | **{:.2f}** | | | |\n", our_tokens / tokens);
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  using namespace millrace;
  std::string peer;
  bool base = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--base") {
      base = true;
    } else if (argument == "--peer" && i + 1 < argc) {
      peer = argv[++i];
    } else {
      fmt::print(stderr, "usage: bench_model [--peer SCRIPT] [--base]\n");
      return 2;
    }
  }
  std::vector<Precision> precisions{Precision::f32};
  if (processor_has_bf16()) {
    precisions.push_back(Precision::bf16);
  } else {
    fmt::print("This processor has no bf16 products: f32 only.\n");
  }
  fmt::print("{} threads\n", omp_get_max_threads());
  if (!peer.empty()) {
    // A reference BLAS would make PyTorch's f32 look fifty times as slow as it is.
    fmt::print("PyTorch's BLAS: {}", output_of("readlink -f /usr/lib/$(uname -m)-linux-gnu/libblas.so.3"));
  }
  for (const Precision precision : precisions) {
    const std::string name = precision == Precision::bf16 ? "bf16" : "f32";
    const double limit = product_rate(precision, 2048, 2);
    fmt::print("\noneDNN's products, {}: {:.0f} GFLOP/s\n\n", name, limit / 1e9);
    fmt::print("| step | tokens/s | GFLOP/s | of oneDNN | GiB at most |\n| --- | ---: | ---: | ---: | ---: |\n");
    const double tokens = training_step("small, " + name, small(), 8, 512, precision, 3, limit);
    if (!peer.empty()) run_peer(peer, name, limit, tokens);
    if (base && precision == precisions.back()) {
      training_step("OpenMoE-Base, " + name, model_preset("openmoe-base"), 2, 2048, precision, 1, limit);
    }
  }
}
