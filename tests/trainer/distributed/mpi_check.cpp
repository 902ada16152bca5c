// What communicator_checks.h asks, of real processes: mpirun -n N mpi_check quick|long. Exit status 1 and a line name
// what was not so.
#include <cstdio>
#include <exception>
#include <string>

#include "tests/trainer/distributed/communicator_checks.h"
#include "trainer/distributed/launch.h"
#include "trainer/distributed/mpi_communicator.h"

int main(int argc, char** argv) {
  using namespace millrace;
  using namespace millrace::test;
  const bool is_long = argc > 1 && std::string(argv[1]) == "long";
  try {
    Communicator* const all = join_ranks();
    require(all != nullptr, "no ranks: start it with mpirun");
    constexpr std::size_t kSmall = 3000;
    constexpr std::size_t kLarge = 3 << 20;
    for (int seed = 0; seed < 20; ++seed) check_operations(*all, seed, kSmall);
    for (int seed = 0; seed < 5; ++seed) check_operations(*all, seed, 2);
    check_operations(*all, 77, kLarge);
    check_many_in_flight(*all, 5, kSmall);
    check_many_in_flight(*all, 6, kLarge / 16);
    check_groups(*all, 9);
    check_traffic(*all);
    if (is_long) {  // Above what one message of MPI may have.
      constexpr std::size_t kHuge = (std::size_t{1} << 30) + 12345;
      Bytes bytes = all->rank() == 0 ? letter(kHuge, 0, 1, 1) : Bytes(all->rank() == 1 ? kHuge : 0);
      if (all->rank() == 0) all->wait(all->send(bytes, 1));
      if (all->rank() == 1) {
        all->wait(all->receive(bytes, 0));
        require(bytes == letter(kHuge, 0, 1, 1), "a huge message");
      }
      bytes.resize(kHuge);
      all->wait(all->broadcast(bytes, 1));
      require(bytes == letter(kHuge, 0, 1, 1), "a huge broadcast");
    }
    finish_mpi();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mpi_check: %s\n", error.what());
    end_all_ranks(1);
  }
  return 0;
}
