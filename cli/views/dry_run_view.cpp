#include "cli/views/dry_run_view.h"

#include <fmt/format.h>

#include "cli/console/progress.h"
#include "cli/views/memory_view.h"
#include "cli/views/training_view.h"
#include "model/parameters/parameter_spec.h"
#include "pipeline/json_text.h"
#include "trainer/run/run_folder.h"

namespace millrace {
namespace {

std::uint64_t steps_of(const RunConfig& run) {
  return run.train.tokens /
         (static_cast<std::uint64_t>(run.train.batch_rows) * static_cast<std::uint64_t>(run.stream.sequence_length));
}

/// How often something happens that is done at every Nth step, and after the last.
std::uint64_t times(std::uint64_t first_step, std::uint64_t last_step, std::uint64_t every) {
  return every == 0 ? 1 : (last_step + every - 1) / every - first_step / every;
}

const char* what_becomes_of(const DryRun& plan) {
  if (!holds_run(plan.run_dir)) return "would be begun";
  return plan.resume ? "would be gone on with" : "holds a run already: --resume, or another --run-dir";
}

}  // namespace

std::string DryRun::text() const {
  const TrainConfig& train = run.train;
  const std::uint64_t first = origin.first_step();
  const std::uint64_t last = first + steps_of(run);
  std::string out =
      fmt::format("{}: {} parameters, {} of {} x {} tokens in micro-batches of {} rows, {}, {}\n", run.stream.name,
                  human_count(static_cast<double>(parameter_count(run.model))), steps_text(first, last),
                  train.batch_rows, run.stream.sequence_length, train.micro_rows, train.optimizer, train.precision);
  out += fmt::format("{} evaluations, {} checkpoints of {} each, of which the newest {} are kept\n",
                     train.eval_tokens == 0 ? 0 : times(first, last, train.eval_every_steps) + 1,
                     times(first, last, train.checkpoint_every_steps),
                     human_bytes(static_cast<double>(memory.checkpoint)), train.keep_last);
  if (!origin.checkpoint.empty()) out += fmt::format("begins with {}\n", origin.text());
  out += fmt::format("run folder {}: {}\n\n", run_dir.string(), what_becomes_of(*this));
  return out + memory_table(memory, machine) + "nothing was created\n";
}

std::string DryRun::json() const {
  const Json json{{"run", run.stream.name},
                  {"parameters", parameter_count(run.model)},
                  {"from", origin},
                  {"steps", steps_of(run)},
                  {"batch_rows", run.train.batch_rows},
                  {"micro_rows", run.train.micro_rows},
                  {"sequence_length", run.stream.sequence_length},
                  {"run_dir", run_dir.string()},
                  {"run_dir_holds_run", holds_run(run_dir)},
                  {"memory", memory_json(memory, machine)}};
  return json_page(json);
}

}  // namespace millrace
