#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace millrace {

/// The records of TensorBoard's event files: messages of its event.proto and summary.proto in TFRecord's framing.
/// Little-endian:
///   u64 length | u32 masked crc32c of it | Event | u32 masked crc32c of the Event
///   Event    1 wall_time (double)  2 step (varint)  3 file_version (string)  5 Summary  7 SessionLog
///   Summary  1 Value, repeated:  1 tag (string)  2 simple_value (float)  5 HistogramProto  8 TensorProto
///            9 SummaryMetadata, which names the plug-in that shows it
/// Times are seconds since 1970.

/// CRC-32C (Castagnoli). REQUIRES: less than 2 GiB.
std::uint32_t crc32c(std::string_view bytes);

/// An Event with its framing.
std::string event_record(std::string_view event);

/// The first record of every file.
std::string version_record(double wall_time);

/// SessionLog START: readers discard what earlier files of the folder hold for this step and later ones.
std::string session_start_record(double wall_time, std::uint64_t step);

/// The values of one step.
class SummaryRecord {
 public:
  void scalar(std::string_view tag, double value);
  /// A histogram of the values: at most 30 buckets of equal width between minimum and maximum. REQUIRES: at least one
  /// value.
  void histogram(std::string_view tag, std::span<const double> values);

  /// Markdown, for the tab of texts.
  void text(std::string_view tag, std::string_view markdown);
  /// A run's settings, for the tab of hyperparameters (plugin_data.proto of TensorBoard's hparams). Numbers, flags and
  /// strings are shown; other values are left out.
  void hyperparameters(const nlohmann::ordered_json& settings, double start_time);

  bool empty() const { return summary_.empty(); }
  std::string record(double wall_time, std::uint64_t step) const;

 private:
  std::string summary_;
};

}  // namespace millrace
