#include "trainer/distributed/launch.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

namespace millrace {
namespace {

std::optional<Launched> with(const std::map<std::string, std::string>& variables) {
  return launched([&](const char* name) {
    const auto known = variables.find(name);
    return known == variables.end() ? nullptr : known->second.c_str();
  });
}

TEST(Launched, IsToldByWhatLaunchersSet) {
  const auto by_mpirun = with({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "8"}});
  ASSERT_TRUE(by_mpirun);
  EXPECT_EQ(by_mpirun->rank, 3);
  EXPECT_EQ(by_mpirun->size, 8);
  EXPECT_EQ(by_mpirun->by, "mpirun");
  EXPECT_EQ(with({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}})->by, "mpiexec");
  EXPECT_EQ(with({{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "4"}})->by, "srun");
}

TEST(Launched, IsNobodyWhoIsAlone) {
  EXPECT_FALSE(with({}));
  EXPECT_FALSE(with({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}}));
  EXPECT_FALSE(with({{"OMPI_COMM_WORLD_RANK", "x"}, {"OMPI_COMM_WORLD_SIZE", "8"}}));
  // A job's script, which is no step of it.
  EXPECT_FALSE(with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}));
}

}  // namespace
}  // namespace millrace
