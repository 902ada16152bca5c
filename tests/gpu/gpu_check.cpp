// What only a card can tell of millrace on it: values, equal bits, speed. Each part has a verdict of its own; the last
// thing printed is a table of them. scripts/gpu_check.sh runs it.
#include <chrono>
#include <cstdlib>
#include <exception>
#include <fstream>
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

std::unique_ptr<Device> opened_card(Precision precision) {
  OpenedCuda opened = open_cuda(precision);
  if (!opened.device) throw std::runtime_error("no card: " + opened.reason);
  return std::move(opened.device);
}

struct Part {
  std::string name;
  std::function<Verdict()> work;
};

struct Row {
  std::string name, text;
  Verdict::Kind kind;
  double seconds;
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

std::vector<Part> parts_of(const CheckSetup& setup) {
  using enum Precision;
  std::vector<int> rows{2};
  if (setup.is_card) rows = {8, 16, 32};
  std::vector<Part> parts{
      {"card",
       [&] {
         return Verdict{Verdict::Kind::pass, setup.open(bf16)->name(), {}};
       }},
      {"products, rate, bf16", [&] { return measure_products(setup, bf16); }},
      {"products, rate, f32", [&] { return measure_products(setup, f32); }},
      {"kernels, f32", [&] { return check_kernels(setup, f32); }},
      {"kernels, bf16", [&] { return check_kernels(setup, bf16); }},
      {"products, f32", [&] { return check_products(setup, f32); }},
      {"products, bf16", [&] { return check_products(setup, bf16); }},
      {"attention", [&] { return check_attention(setup); }},
      {"golden, f32", [&] { return check_golden(setup); }},
      {"golden, bf16", [&] { return check_golden_in_bf16(setup); }},
      {"same bits", [&] { return check_same_bits(setup); }},
      {"generation", [&] { return check_generation(setup); }},
  };
  for (const int count : rows)
    parts.push_back(
        {fmt::format("training, {} rows", count), [&setup, count] { return measure_training(setup, count); }});
  return parts;
}

std::string json_text_of(const std::string& text) {
  std::string all = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') all += '\\';
    all += c == '\n' ? ' ' : c;
  }
  return all + '"';
}

int check(const CheckSetup& setup, const std::string& only, const std::string& json) {
  std::vector<Row> table;
  bool fails = false;
  for (const Part& part : parts_of(setup)) {
    if (part.name.find(only) == std::string::npos) continue;
    const auto start = std::chrono::steady_clock::now();
    Verdict verdict;
    try {
      verdict = part.work();
    } catch (const std::exception& error) {
      verdict = {Verdict::Kind::fail, error.what(), {}};
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    fails = fails || verdict == Verdict::Kind::fail;
    fmt::print("== {}: {} ({:.1f} s) {}\n", part.name, word(verdict.kind), seconds, verdict.text);
    for (const std::string& line : verdict.lines) fmt::print("   {}\n", line);
    std::fflush(stdout);
    table.push_back({part.name, verdict.text, verdict.kind, seconds});
  }
  fmt::print("\n{:22} {:7} {:>7}\n", "part", "verdict", "s");
  for (const Row& row : table) fmt::print("{:22} {:7} {:7.1f}  {}\n", row.name, word(row.kind), row.seconds, row.text);
  if (!json.empty()) {
    std::ofstream file(json);
    file << "[\n";
    for (std::size_t i = 0; i < table.size(); ++i)
      file << fmt::format("  {{\"part\": {}, \"verdict\": \"{}\", \"seconds\": {:.3f}, \"text\": {}}}{}\n",
                          json_text_of(table[i].name), word(table[i].kind), table[i].seconds,
                          json_text_of(table[i].text), i + 1 < table.size() ? "," : "");
    file << "]\n";
  }
  return fails ? 1 : 0;
}

}  // namespace
}  // namespace millrace::test

int main(int argc, char** argv) {
  using namespace millrace;
  test::CheckSetup setup{test::opened_card, true, "tests/golden"};
  std::string only;
  std::string json;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--host") {
      setup.open = [](Precision precision) { return std::make_unique<test::HostDevice>(precision); };
      setup.is_card = false;
    } else if (argument == "--golden" && has_value) {
      setup.golden = argv[++i];
    } else if (argument == "--only" && has_value) {
      only = argv[++i];
    } else if (argument == "--json" && has_value) {
      json = argv[++i];
    } else {
      std::cerr << "usage: gpu_check [--host] [--only PART] [--golden FOLDER] [--json FILE]\n"
                   "Checks millrace's arithmetic on the NVIDIA card, part by part; --host: on the processor, small.\n";
      return 2;
    }
  }
  return test::check(setup, only, json);
}
