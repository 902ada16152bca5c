# MPI, by which the ranks of a training run meet: scripts/deps.sh cluster. Without it the program builds, and says so when it is
# started as one of several ranks.
option(MILLRACE_MPI "Train on several ranks, where MPI is found" ON)
if(MILLRACE_MPI AND NOT MILLRACE_FUZZ AND NOT SKBUILD)
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI COMPONENTS CXX)
endif()
if(NOT MPI_CXX_FOUND)
  message(STATUS "MPI not found: the program trains on one rank only. Run scripts/deps.sh cluster, then configure again.")
endif()
