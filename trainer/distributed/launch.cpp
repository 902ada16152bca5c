#include "trainer/distributed/launch.h"

#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <fmt/format.h>

#include "stages/errors.h"
#include "trainer/distributed/mpi_communicator.h"
#include "trainer/distributed/orders.h"

namespace millrace {
namespace {

/// The variables of a launcher. Slurm's are those of a step: a job's script has others, though it is one process.
struct Launcher {
  const char* name;
  const char* rank;
  const char* size;
};
constexpr Launcher kLaunchers[]{{"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                {"mpiexec", "PMI_RANK", "PMI_SIZE"},
                                {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}};

std::optional<int> number(const char* text) {
  if (text == nullptr) return std::nullopt;
  const std::string_view digits(text);
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::unique_ptr<Communicator> joined;

}  // namespace

std::optional<Launched> launched(const std::function<const char*(const char*)>& variable) {
  for (const Launcher& launcher : kLaunchers) {
    const std::optional<int> rank = number(variable(launcher.rank));
    const std::optional<int> size = number(variable(launcher.size));
    if (rank && size && *size > 1) return Launched{*rank, *size, launcher.name};
  }
  return std::nullopt;
}

Communicator* join_ranks() {
  const std::optional<Launched> start = launched([](const char* name) { return std::getenv(name); });
  if (!start) return nullptr;
  if (!has_mpi())
    throw ConfigError(
        fmt::format("started as {} ranks by {}, but built without MPI: each would train the whole run; "
                    "scripts/deps.sh cluster, then configure and build again",
                    start->size, start->by));
  joined = start_mpi();
  const int found = joined->size();
  if (found == start->size) return joined.get();
  joined.reset();
  finish_mpi();
  throw ConfigError(fmt::format(
      "started as {} ranks by {}, but MPI finds {}: each would train the whole run. Start with the mpirun of "
      "the MPI that the program was built with; srun needs PMIx: srun --mpi=pmix",
      start->size, start->by, found));
}

int leave_ranks(int exit_code) {
  if (!joined) return exit_code;
  if (exit_code != 0 && (joined->rank() != 0 || exit_code != kInterrupted)) end_all_ranks(exit_code);
  if (joined->rank() == 0) give_order(*joined, {.kind = OrderKind::end});
  joined.reset();
  finish_mpi();
  return exit_code;
}

}  // namespace millrace
