// What only a card can tell of millrace's arithmetic on it: values, equal bits, speed. Each part has a verdict of its
// own, in a line "== NAME: pass|FAIL|skip (SECONDS s) TEXT". scripts/gpu_check.sh runs the parts, each as a program of
// its own.
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "model/cpu/cpu_device.h"
#include "model/device/open_cuda.h"
#include "tests/gpu/check_parts.h"

namespace millrace::test {
namespace {

/// The processor as a device with the places of experts that cards have.
class HostDevice : public CpuDevice {
 public:
  explicit HostDevice(Precision precision) : CpuDevice(precision, ProductSource::loops) {}
  std::string name() const override { return "the processor, in a card's place"; }
  bool has_ragged_products() const override { return false; }
};

std::unique_ptr<Device> opened_card(const DeviceSettings& settings) {
  OpenedCuda opened = open_cuda(settings);
  if (!opened.device) throw std::runtime_error("no card: " + opened.reason);
  return std::move(opened.device);
}

struct Part {
  std::string name;
  std::function<Verdict()> work;
};

const char* word(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::pass:
      return "pass";
    case Verdict::Kind::fail:
      return "FAIL";
    case Verdict::Kind::skip:
      return "skip";
  }
  return "";
}

std::string rows_text(const TrainingCase& training) {
  return fmt::format("{}, {} rows{}", training.preset + 8, training.rows, training.is_padded ? ", padded" : "") +
         (training.deterministic ? "" : ", any order");
}

/// In the order of what is worth knowing first.
std::vector<Part> parts_of(const CheckSetup& setup) {
  using enum Precision;
  std::vector<Part> parts{
      {"card", [&] { return verdict(true, setup.open({bf16})->name()); }},
      {"products, rate, bf16", [&] { return measure_products(setup, bf16); }},
      {"products, rate, f32", [&] { return measure_products(setup, f32); }},
      {"memory, rate", [&] { return measure_memory(setup); }},
      {"kernels, f32", [&] { return check_kernels(setup, f32); }},
      {"kernels, bf16", [&] { return check_kernels(setup, bf16); }},
      {"products, f32", [&] { return check_products(setup, f32); }},
      {"products, bf16", [&] { return check_products(setup, bf16); }},
      {"attention", [&] { return check_attention(setup, true); }},
      {"attention, any order", [&] { return check_attention(setup, false); }},
      {"golden, f32", [&] { return check_golden(setup); }},
      {"golden, bf16", [&] { return check_golden_in_bf16(setup); }},
      {"same bits", [&] { return check_same_bits(setup); }},
      {"losses", [&] { return check_losses(setup); }},
      {"generation", [&] { return check_generation(setup); }},
  };
  const auto train = [&](const TrainingCase& training) {
    parts.push_back({"train " + rows_text(training), [&setup, training] { return measure_training(setup, training); }});
  };
  const auto generate = [&](const char* preset) {
    parts.push_back(
        {fmt::format("generate {}", preset + 8), [&setup, preset] { return measure_generation(setup, preset); }});
  };
  if (!setup.is_card) {
    for (const bool is_padded : {false, true})
      train({.preset = "openmoe-nano", .rows = 2, .length = 64, .is_padded = is_padded});
    generate("openmoe-nano");
    return parts;
  }
  for (const int rows : {16, 8, 32})
    for (const bool is_padded : {false, true}) train({.rows = rows, .is_padded = is_padded});
  train({.rows = 16, .deterministic = false});
  train({.preset = "openmoe-8b", .rows = 8, .recompute = true});
  generate("openmoe-base");
  generate("openmoe-8b");
  return parts;
}

Verdict verdict_of(const Part& part) {
  try {
    return part.work();
  } catch (const std::exception& error) {
    return verdict(false, error.what());
  }
}

/// The exit code: 1 if a part fails. `only`: that part; empty: all.
int check(const CheckSetup& setup, const std::string& only) {
  bool is_there = false;
  bool fails = false;
  for (const Part& part : parts_of(setup)) {
    if (!only.empty() && part.name != only) continue;
    is_there = true;
    const auto start = std::chrono::steady_clock::now();
    const Verdict verdict = verdict_of(part);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    fails = fails || verdict == Verdict::Kind::fail;
    for (const std::string& line : verdict.lines) fmt::print("   {}\n", line);
    fmt::print("== {}: {} ({:.1f} s) {}\n", part.name, word(verdict.kind), seconds, verdict.text);
    std::fflush(stdout);
  }
  if (is_there) return fails ? 1 : 0;
  std::cerr << "gpu_check: there is no part \"" << only << "\"; --list names them\n";
  return 2;
}

}  // namespace
}  // namespace millrace::test

int main(int argc, char** argv) {
  using namespace millrace;
  test::CheckSetup setup{test::opened_card, true, "tests/golden"};
  std::string only;
  bool list = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--host") {
      setup.open = [](const DeviceSettings& settings) {
        return std::make_unique<test::HostDevice>(settings.precision);
      };
      setup.is_card = false;
    } else if (argument == "--list") {
      list = true;
    } else if (argument == "--golden" && has_value) {
      setup.golden = argv[++i];
    } else if (argument == "--only" && has_value) {
      only = argv[++i];
    } else {
      std::cerr << "usage: gpu_check [--host] [--list] [--only PART] [--golden FOLDER]\n"
                   "Checks millrace's arithmetic on the NVIDIA card, part by part; --host: on the processor, small.\n";
      return 2;
    }
  }
  if (!list) return test::check(setup, only);
  for (const test::Part& part : test::parts_of(setup)) fmt::print("{}\n", part.name);
  return 0;
}
