#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/rows/row_mixing.h"

namespace millrace {

class JsonValue;

/// A corpus and how well it is mixed.
struct NamedMixing {
  std::string name;
  CorpusMixing mixing;
};

/// How well rows of a stream are mixed: all that was measured of them.
struct MixingRecord {
  std::uint64_t first_row = 0;  ///< Its number in the stream.
  std::uint64_t rows = 0;
  std::optional<std::uint64_t> batch_rows;  ///< As RowMixing's.
  std::uint64_t window_rows = 0;
  std::uint64_t shuffles = kPerfectShuffles;
  std::vector<NamedMixing> corpora;

  std::uint64_t end_row() const { return first_row + rows; }
  /// With fewer than two windows there is no whole that a window could be far from.
  bool has_distances() const { return window_rows > 0 && rows / window_rows >= 2; }
};

void to_json(nlohmann::ordered_json& json, const BesideShuffled& value);
void from_json(const JsonValue& json, BesideShuffled& value);
void to_json(nlohmann::ordered_json& json, const WindowDistances& distances);
void from_json(const JsonValue& json, WindowDistances& distances);
void to_json(nlohmann::ordered_json& json, const MixingRecord& record);
void from_json(const JsonValue& json, MixingRecord& record);

/// What windows of a corpus's rows are compared by.
using PropertiesOf = std::function<std::vector<DocumentProperty>(std::uint32_t corpus)>;

/// Measures every corpus that has examples in the rows. `names`: of the run's corpora.
MixingRecord measure_all(const RowMixing& mixing, const std::vector<std::string>& names,
                         const PropertiesOf& properties_of);

/// What to do where rows are mixed less than half as well as a perfect shuffle, a sentence for each figure: more than
/// twice the pairs, by more than chance explains (three standard deviations of a count), or windows on average more
/// than twice as far from the whole, by more than 0.02.
std::vector<std::string> mixing_advice(const MixingRecord& record);

}  // namespace millrace
