#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

/// The records of TensorBoard's event files: messages of its event.proto and summary.proto in TFRecord's framing.
/// Little-endian:
///   u64 length | u32 masked crc32c of it | Event | u32 masked crc32c of the Event
///   Event    1 wall_time (double)  2 step (varint)  3 file_version (string)  5 Summary  7 SessionLog
///   Summary  1 Value, repeated:  1 tag (string)  2 simple_value (float)  5 HistogramProto
/// Times are seconds since 1970.

/// CRC-32C (Castagnoli). REQUIRES: less than 2 GiB.
std::uint32_t crc32c(std::string_view bytes);

/// An Event with its framing.
std::string event_record(std::string_view event);

/// What every file begins with.
std::string version_record(double wall_time);

/// SessionLog START: readers forget what earlier files of the folder say of this step and later ones.
std::string session_start_record(double wall_time, std::uint64_t step);

/// The values of one step.
class SummaryRecord {
 public:
  void scalar(std::string_view tag, double value);
  /// How the values are spread, in at most 30 buckets of one width between the least and the largest. REQUIRES: a
  /// value.
  void histogram(std::string_view tag, std::span<const double> values);

  bool empty() const { return summary_.empty(); }
  std::string record(double wall_time, std::uint64_t step) const;

 private:
  std::string summary_;
};

}  // namespace millrace
