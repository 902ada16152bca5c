#pragma once

#include <memory>
#include <string>

#include "trainer/distributed/communicator.h"

namespace millrace {

/// Whether the program was built with MPI.
bool has_mpi();

/// Starts MPI, and gives all ranks that the launcher started. One thread owns all calls of MPI: it tests what is in
/// work, yields, and sleeps some microseconds where nothing comes, so that ranks that wait take no processor from those
/// that compute, nor from the network. Messages above 1 GiB are cut. To be called once, before which OpenMPI's
/// mpi_yield_when_idle is set unless the user has. REQUIRES: has_mpi().
std::unique_ptr<Communicator> start_mpi();

/// Ends MPI in order, once all ranks call it. Does nothing where it was not started, or was ended. REQUIRES: nothing is
/// in work, and no communicator is used again.
void finish_mpi();

/// Ends every rank's process at once, wherever it is, with this code; this one in any case. Any thread.
[[noreturn]] void end_all_ranks(int exit_code);

}  // namespace millrace
