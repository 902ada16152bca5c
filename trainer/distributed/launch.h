#pragma once

#include <functional>
#include <optional>
#include <string>

#include "trainer/distributed/communicator.h"

namespace millrace {

/// What a launcher says about a process that it started as one of several.
struct Launched {
  int rank = 0;
  int size = 1;
  std::string by;  ///< "mpirun", "srun", ...
};

/// By the variables that launchers set (OpenMPI's, PMI's, Slurm's); none: this process is alone.
std::optional<Launched> launched(const std::function<const char*(const char*)>& variable);

/// All ranks of the job that this process was started in, for as long as it lives; null: it is alone, and MPI is not
/// started. Throws ConfigError if it was started as one of several that cannot meet: each would do all of the work.
Communicator* join_ranks();

/// To be called last, with the process's exit code, which is returned. In order, if rank 0 has done its work or was
/// interrupted between two orders (kInterrupted), and if another rank was told the end; else all ranks end at once with
/// the code. Does nothing where nothing was joined.
int leave_ranks(int exit_code);

/// The exit code of a run that was stopped and saved.
inline constexpr int kInterrupted = 130;

}  // namespace millrace
