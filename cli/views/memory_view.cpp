#include "cli/views/memory_view.h"

#include <array>
#include <vector>

#include <fmt/format.h>

#include "cli/console/progress.h"
#include "cli/console/text_table.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"

namespace millrace {
namespace {

struct PlanPart {
  const char* name;
  std::uint64_t MemoryPlan::*bytes;
  const char* of;
};
constexpr std::array<PlanPart, 8> kParts{{{"weights", &MemoryPlan::weights, "and their bf16 images"},
                                          {"gradients", &MemoryPlan::gradients, ""},
                                          {"optimizer", &MemoryPlan::optimizer, "state and scratch"},
                                          {"activations", &MemoryPlan::activations, "of a micro-batch, and evaluation"},
                                          {"checkpoint", &MemoryPlan::checkpoint, "copied, to be written meanwhile"},
                                          {"pipeline", &MemoryPlan::pipeline, "text and rows on their way"},
                                          {"exchange", &MemoryPlan::exchange, "MPI, and on its way between ranks"},
                                          {"program", &MemoryPlan::program, "libraries and vocabulary"}}};

std::string human(std::uint64_t bytes) {
  return human_bytes(static_cast<double>(bytes));
}

/// Those that one process has, too, and ranks' where there are any.
std::vector<PlanPart> parts_of(const MemoryPlan& plan) {
  std::vector<PlanPart> parts(kParts.begin(), kParts.end());
  if (plan.exchange == 0)
    std::erase_if(parts, [](const PlanPart& part) { return part.bytes == &MemoryPlan::exchange; });
  return parts;
}

}  // namespace

std::string memory_parts_table(const MemoryPlan& plan) {
  TextTable table({{"memory", Align::left}, {"planned"}, {"", Align::left}});
  for (const PlanPart& part : parts_of(plan)) table.add({part.name, human(plan.*part.bytes), part.of});
  table.add({"together", human(plan.total()), ""});
  if (plan.on_card) table.add({"on the card", human(plan.card()), "the first four"});
  return table.text();
}

Json memory_parts_json(const MemoryPlan& plan) {
  Json json;
  for (const PlanPart& part : parts_of(plan)) json[part.name] = plan.*part.bytes;
  return json;
}

std::string memory_table(const MemoryPlan& plan, const MachineMemory& machine) {
  TextTable table({{"memory", Align::left}, {"planned"}, {"", Align::left}});
  for (const PlanPart& part : parts_of(plan)) table.add({part.name, human(plan.*part.bytes), part.of});
  table.add({"together", human(plan.total()), ""});
  if (plan.on_card) {
    table.add({"on the card", human(plan.card()), "the first four"});
    table.add({"beside it", human(plan.host()), ""});
    if (machine.card > 0) table.add({"the card's free memory", human(machine.card), machine.card_name});
  }
  table.add({"this machine", human(machine.bytes), machine.limit});
  return table.text();
}

std::string memory_line(const MemoryPlan& plan, const MachineMemory& machine) {
  std::string parts;
  for (const PlanPart& part : parts_of(plan))
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", part.name, human(plan.*part.bytes));
  const std::string card = plan.on_card ? fmt::format("{} of it on the card, which has {} free, ", human(plan.card()),
                                                      machine.card > 0 ? human(machine.card) : "an unknown part")
                                        : "";
  return fmt::format("memory: {} planned ({}), {}{} there ({})", human(plan.total()), parts, card, human(machine.bytes),
                     machine.limit);
}

Json memory_json(const MemoryPlan& plan, const MachineMemory& machine) {
  Json json = memory_parts_json(plan);
  json["total"] = plan.total();
  if (plan.on_card) {
    json["on_card"] = plan.card();
    json["card"] = machine.card_name;
    json["card_available"] = machine.card;
  }
  json["available"] = machine.bytes;
  json["available_limit"] = machine.limit;
  return json;
}

std::string memory_advice(const MemoryQuestion& question, const MachineMemory& machine) {
  if (plan_memory(question).fits(machine)) return "";
  if (const auto settings = settings_that_fit(question, machine)) return fmt::format("it would fit with {}", *settings);
  const MemoryPlan least = least_memory(question);
  const std::string takes =
      least.on_card ? fmt::format("{} of the card's memory and {} beside it", human(least.card()), human(least.host()))
                    : human(least.total());
  std::string advice = fmt::format("with train.micro_rows=1 and train.recompute=true it would still take {}", takes);
  if (least.pipeline > least.total() / 4)
    advice += fmt::format(", {} of it for rows on their way: choose a smaller train.batch_rows", human(least.pipeline));
  return advice + "; take a smaller [model], or a machine with more memory";
}

void refuse_what_does_not_fit(const std::string& where, const MemoryQuestion& question, const MachineMemory& machine) {
  const std::string advice = memory_advice(question, machine);
  if (advice.empty()) return;
  const MemoryPlan plan = plan_memory(question);
  const std::string takes = plan.host() > machine.bytes
                                ? fmt::format("{} of memory, this machine has {} ({})", human(plan.host()),
                                              human(machine.bytes), machine.limit)
                                : fmt::format("{} of the card's memory, {} are free on {}", human(plan.card()),
                                              human(machine.card), machine.card_name);
  throw ConfigError(fmt::format("{}: the run takes {}: {}\n{}", where, takes, advice, memory_table(plan, machine)));
}

}  // namespace millrace
