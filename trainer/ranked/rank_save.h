#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/parameters/parameter_spec.h"
#include "trainer/checkpoint/checkpoint_part.h"
#include "trainer/config/train_config.h"
#include "trainer/distributed/communicator.h"
#include "trainer/ranked/number_exchange.h"
#include "trainer/ranked/replica.h"

namespace millrace {

/// A checkpoint that all ranks write together.
struct SharedSave {
  std::filesystem::path folder;  ///< Absolute, there, and empty.
  std::uint64_t step = 0;
  /// All ranks, in the order in which they get files: writer_of() is a place in it.
  std::vector<int> writers;
  std::uint64_t most_bytes = kMostTensorBytes;  ///< Of a file. This and `writers` are those of the save before.
};
std::string text_of_save(const SharedSave& save);
SharedSave save_in(const std::string& text);

/// The order of writers that spreads files over machines first: the first rank of each, the second of each, ...
/// `hosts`: each rank's.
std::vector<int> writers_by_machine(const std::vector<std::string>& hosts);

/// The files of a model's and its optimizer's tensors, which have no memory.
std::vector<TensorFile> files_to_save(const std::vector<ParameterSpec>& specs, const TrainConfig& train,
                                      std::uint64_t most_bytes = kMostTensorBytes);

/// Bytes of tensors that each writer copies, by its place among them.
std::vector<std::uint64_t> bytes_of_writers(const std::vector<ParameterSpec>& specs, const TrainConfig& train,
                                            int writers);

/// Looks for damage in this rank's share of a checkpoint's files. Each rank's, at rank 0; elsewhere nothing. All call
/// it.
std::vector<std::string> check_share(Communicator& ranks, const std::filesystem::path& folder);

/// What one of several ranks does for checkpoints. A file's writer takes from its own memory what it has, and from
/// their owners what it has not: values of other stages and experts, and others' state. All ranks make one at the same
/// time, and begin() together.
class RankSave {
 public:
  /// Allocates the memory of this rank's files. The replica outlives it.
  RankSave(Replica& replica, const SharedSave& save);

  const std::vector<TensorFile>& files() const { return part_.files(); }
  /// Returns when all bytes are with their writers; then as CheckpointPart::begin().
  void begin(
      const SharedSave& save, const std::function<void()>& first = [] {});
  const PartReport& report() { return part_.report(); }
  const PartReport& wait() { return part_.wait(); }

 private:
  /// Numbers that this rank sends or receives, or both.
  struct Delivery {
    int from = 0;
    int to = 0;
    Piece source;  ///< Where this rank has them, if it is `from`.
    Piece place;   ///< Where they go, if it is `to`.
  };
  /// A tensor of a file.
  struct Entry {
    std::size_t file = 0;
    std::size_t tensor = 0;
  };
  void list_values(const std::vector<Entry>& entries, const std::vector<int>& writers);
  void list_state(const std::vector<Entry>& entries, const std::vector<int>& writers);
  bool has(int rank, const ParameterSpec& spec, int owner) const;
  void add(const Delivery& delivery);
  void take();

  Replica& replica_;
  CheckpointPart part_;
  std::vector<Delivery> deliveries_;  ///< In the order of all ranks.
};

}  // namespace millrace
