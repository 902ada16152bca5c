#include "trainer/plan/cluster.h"

#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/keys/key_table.h"
#include "stages/errors.h"

namespace millrace {
namespace {

constexpr int kMostRanksPerMachine = 1024;
constexpr int kMostThreads = 1024;
constexpr double kOneThreadCopies = 10e9;  ///< Of a processor's presets.
constexpr double kOneThreadTakes = 3e9;
constexpr NumberRange kAboveNothing{.least = 0, .least_excluded = true};

/// What matrix products and links reach, which is less than data sheets say: 400 of an H100's 989 TFLOP/s in bf16, 300
/// of 450 GB/s of NVLink, 40 of 50 GB/s of a network card; of a machine with 64 cores 7 TFLOP/s in bf16.
Cluster cards(const char* name, double memory, double memory_bandwidth) {
  return {.name = name,
          .ranks_per_machine = 8,
          .device = "cuda",
          .precision = "bf16",
          .threads = 12,
          .memory = memory,
          .operations = 400e12,
          .memory_bandwidth = memory_bandwidth,
          .inside = {10e-6, 300e9},
          .between = {20e-6, 8 * 40e9}};
}

Cluster processors(const char* name, Link between) {
  return {.name = name,
          .ranks_per_machine = 1,
          .device = "cpu",
          .precision = "bf16",
          .threads = 64,
          .memory = 256e9,
          .operations = 7e12,
          .memory_bandwidth = 200e9,
          .copy_bandwidth = kOneThreadCopies,
          .fresh_bandwidth = kOneThreadTakes,
          .inside = {2e-6, 10e9},
          .between = between};
}

std::vector<Cluster> presets() {
  return {cards("h100-8x400g", 80e9, 2.8e12), cards("h200-8x400g", 141e9, 4e12), processors("cpu-10g", {50e-6, 1.1e9}),
          processors("cpu-100g", {20e-6, 11e9})};
}

KeyTable<Cluster> top_keys() {
  KeyTable<Cluster> keys("");
  keys.add({.name = "ranks_per_machine", .range = WholeRange{1, kMostRanksPerMachine}, .required = true},
           &Cluster::ranks_per_machine);
  keys.add({.name = "device", .range = Choices{{"cpu", "cuda"}}}, &Cluster::device);
  keys.add({.name = "precision", .range = Choices{{"f32", "bf16"}}}, &Cluster::precision);
  keys.add({.name = "threads", .range = WholeRange{1, kMostThreads}}, &Cluster::threads);
  keys.add({.name = "memory", .range = kAboveNothing, .required = true}, &Cluster::memory);
  keys.add({.name = "operations", .range = kAboveNothing, .required = true}, &Cluster::operations);
  keys.add({.name = "memory_bandwidth", .range = kAboveNothing, .required = true}, &Cluster::memory_bandwidth);
  keys.add({.name = "copy_bandwidth", .range = NumberRange{}}, &Cluster::copy_bandwidth);
  keys.add({.name = "fresh_bandwidth", .range = NumberRange{}}, &Cluster::fresh_bandwidth);
  return keys;
}

KeyTable<Link> link_keys(const char* name) {
  KeyTable<Link> keys(name);
  keys.add({.name = "latency", .range = NumberRange{}, .required = true}, &Link::latency);
  keys.add({.name = "bandwidth", .range = kAboveNothing, .required = true}, &Link::bandwidth);
  return keys;
}

}  // namespace

std::vector<std::string> cluster_preset_names() {
  std::vector<std::string> names;
  for (const Cluster& cluster : presets()) names.push_back(cluster.name);
  return names;
}

Cluster read_cluster(const std::string& name_or_file) {
  for (const Cluster& cluster : presets())
    if (cluster.name == name_or_file) return cluster;
  if (!std::filesystem::exists(name_or_file))
    throw ConfigError(fmt::format("cluster \"{}\" is neither a file nor one of {}", name_or_file,
                                  fmt::join(cluster_preset_names(), ", ")));
  const ConfigTable table = ConfigTable::read(name_or_file);
  Cluster cluster;
  cluster.name = name_or_file;
  top_keys().read(table, cluster);
  for (const auto& [name, link] : {std::pair("inside", &cluster.inside), std::pair("between", &cluster.between)})
    if (table.has(name)) link_keys(name).read(table.table(name), *link);
  table.refuse_unknown_keys();
  return cluster;
}

std::string cluster_toml(const Cluster& cluster) {
  TomlWriter toml;
  top_keys().write(cluster, toml);
  if (cluster.inside.is_known()) link_keys("inside").write_table(cluster.inside, toml);
  if (cluster.between.is_known()) link_keys("between").write_table(cluster.between, toml);
  return toml.text();
}

}  // namespace millrace
