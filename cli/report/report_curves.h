#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace millrace {

/// Curves over common rows (a row: one line of a log), in bounded memory for any number of rows: neighbouring rows
/// share a bucket that remembers each curve's minimum, maximum and mean. No extreme is lost.
class ThinnedCurves {
 public:
  explicit ThinnedCurves(std::size_t most_buckets) : most_buckets_(most_buckets) {}

  /// Begins the row that the following add() calls belong to.
  void begin_row(std::uint64_t step);
  /// Adds a curve's value; values that are not finite are ignored. REQUIRES: begin_row() was called.
  void add(std::string_view curve, double value);

  bool empty() const { return steps_.empty(); }
  /// The mean of a curve over the last `buckets` buckets that contain it; `otherwise` if none does.
  double recent_mean(std::string_view curve, std::size_t buckets, double otherwise) const;

  /// {"rows_per_bucket": n, "step": [...], "curves": {NAME: {"value": [...], "mean": [...]}}}. With n = 1 "value" has
  /// one value per row and there is no "mean". Else each bucket has two entries in "step" (its first and last) and
  /// "value" (minimum and maximum, in the order they came), and one in "mean". null where a curve has no value.
  nlohmann::ordered_json json() const;
  /// {"rows_per_bucket": n, "step": [first of each bucket], "curves": {NAME: [mean of each bucket]}}
  nlohmann::ordered_json means_json() const;

 private:
  struct Steps {
    std::uint64_t first, last;
  };
  struct Bucket {
    double minimum = 0, maximum = 0, sum = 0;
    std::uint64_t count = 0;
    bool minimum_first = true;  ///< Whether the minimum came before the maximum.
  };
  static void merge(Bucket& into, const Bucket& later);
  void halve();

  std::size_t most_buckets_;
  std::uint64_t rows_per_bucket_ = 1;
  std::uint64_t rows_ = 0;
  std::vector<Steps> steps_;                                        ///< Of each bucket.
  std::map<std::string, std::vector<Bucket>, std::less<>> curves_;  ///< Shorter than steps_ if later rows lack it.
};

}  // namespace millrace
