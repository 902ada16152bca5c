#include "trainer/metrics/event_record.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <vector>

#include <isa-l/crc.h>
#include <protozero/pbf_builder.hpp>

#include "pipeline/json_text.h"

namespace millrace {
namespace {

constexpr std::size_t kBuckets = 30;

/// Least significant byte first.
template <class Unsigned>
std::string little_endian(Unsigned number) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) bytes += static_cast<char>(number >> (8 * i) & 0xFFU);
  return bytes;
}

/// The fields of the messages, as their .proto files number them.
enum class Event : protozero::pbf_tag_type {
  double_wall_time = 1,
  int64_step = 2,
  string_file_version = 3,
  message_summary = 5,
  message_session_log = 7
};
enum class SessionLog : protozero::pbf_tag_type { enum_status = 1 };
enum class Summary : protozero::pbf_tag_type { message_value = 1 };
enum class Value : protozero::pbf_tag_type {
  string_tag = 1,
  float_simple_value = 2,
  message_histogram = 5,
  message_tensor = 8,
  message_metadata = 9
};
enum class TensorProto : protozero::pbf_tag_type { enum_dtype = 1, message_shape = 2, bytes_string_val = 8 };
enum class Shape : protozero::pbf_tag_type { message_dim = 2 };
enum class Dim : protozero::pbf_tag_type { int64_size = 1 };
enum class Metadata : protozero::pbf_tag_type { message_plugin_data = 1 };
enum class PluginData : protozero::pbf_tag_type { string_plugin_name = 1, bytes_content = 2 };
enum class HParams : protozero::pbf_tag_type { message_session_start_info = 3 };
enum class SessionStart : protozero::pbf_tag_type { message_hparams = 1, double_start_time_secs = 5 };
enum class Entry : protozero::pbf_tag_type { string_key = 1, message_value = 2 };  ///< Of a map.
enum class Setting : protozero::pbf_tag_type { double_number_value = 2, string_string_value = 3, bool_bool_value = 4 };
enum class Histogram : protozero::pbf_tag_type {
  double_min = 1,
  double_max = 2,
  double_num = 3,
  double_sum = 4,
  double_sum_squares = 5,
  packed_double_bucket_limit = 6,
  packed_double_bucket = 7
};

template <class Message>
using Builder = protozero::pbf_builder<Message>;

std::string masked_crc(std::string_view bytes) {
  return little_endian(std::rotr(crc32c(bytes), 15) + 0xA282EAD8U);
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  // The library takes a non-const pointer although it only reads; like iSCSI, it leaves the final inversion of the CRC
  // to us.
  auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), ~0U);
}

std::string event_record(std::string_view event) {
  const std::string length = little_endian(std::uint64_t{event.size()});
  return length + masked_crc(length) + std::string(event) + masked_crc(event);
}

std::string version_record(double wall_time) {
  std::string bytes;
  Builder<Event> event(bytes);
  event.add_double(Event::double_wall_time, wall_time);
  event.add_string(Event::string_file_version, "brain.Event:2");
  return event_record(bytes);
}

std::string session_start_record(double wall_time, std::uint64_t step) {
  constexpr std::int32_t kStart = 1;
  std::string bytes;
  Builder<Event> event(bytes);
  event.add_double(Event::double_wall_time, wall_time);
  event.add_int64(Event::int64_step, static_cast<std::int64_t>(step));
  Builder<SessionLog>(event, Event::message_session_log).add_enum(SessionLog::enum_status, kStart);
  return event_record(bytes);
}

void SummaryRecord::scalar(std::string_view tag, double value) {
  Builder<Summary> summary(summary_);
  Builder<Value> entry(summary, Summary::message_value);
  entry.add_string(Value::string_tag, tag.data(), tag.size());
  entry.add_float(Value::float_simple_value, static_cast<float>(value));
}

void SummaryRecord::histogram(std::string_view tag, std::span<const double> values) {
  const auto [least, largest] = std::ranges::minmax(values);
  const std::size_t buckets = least < largest ? kBuckets : 1;
  const double width = (largest - least) / static_cast<double>(buckets);
  std::vector<double> limits;
  for (std::size_t i = 1; i < buckets; ++i) limits.push_back(least + width * static_cast<double>(i));
  limits.push_back(largest);
  std::vector<double> counts(buckets);
  double sum = 0, square = 0;
  for (const double value : values) {
    ++counts[static_cast<std::size_t>(std::ranges::lower_bound(limits, value) - limits.begin())];
    sum += value;
    square += value * value;
  }
  Builder<Summary> summary(summary_);
  Builder<Value> entry(summary, Summary::message_value);
  entry.add_string(Value::string_tag, tag.data(), tag.size());
  Builder<Histogram> histogram(entry, Value::message_histogram);
  histogram.add_double(Histogram::double_min, least);
  histogram.add_double(Histogram::double_max, largest);
  histogram.add_double(Histogram::double_num, static_cast<double>(values.size()));
  histogram.add_double(Histogram::double_sum, sum);
  histogram.add_double(Histogram::double_sum_squares, square);
  histogram.add_packed_double(Histogram::packed_double_bucket_limit, limits.begin(), limits.end());
  histogram.add_packed_double(Histogram::packed_double_bucket, counts.begin(), counts.end());
}

void SummaryRecord::text(std::string_view tag, std::string_view markdown) {
  constexpr std::int32_t kString = 7;  // DT_STRING
  Builder<Summary> summary(summary_);
  Builder<Value> entry(summary, Summary::message_value);
  entry.add_string(Value::string_tag, tag.data(), tag.size());
  {
    Builder<TensorProto> tensor(entry, Value::message_tensor);
    tensor.add_enum(TensorProto::enum_dtype, kString);
    {
      Builder<Shape> shape(tensor, TensorProto::message_shape);
      Builder<Dim>(shape, Shape::message_dim).add_int64(Dim::int64_size, 1);
    }
    tensor.add_bytes(TensorProto::bytes_string_val, markdown.data(), markdown.size());
  }
  Builder<Metadata> metadata(entry, Value::message_metadata);
  Builder<PluginData>(metadata, Metadata::message_plugin_data).add_string(PluginData::string_plugin_name, "text");
}

void SummaryRecord::hyperparameters(const Json& settings, double start_time) {
  std::string content;
  {
    Builder<HParams> hparams(content);
    Builder<SessionStart> start(hparams, HParams::message_session_start_info);
    for (const auto& [key, setting] : settings.items()) {
      if (!setting.is_number() && !setting.is_boolean() && !setting.is_string()) continue;
      Builder<Entry> entry(start, SessionStart::message_hparams);
      entry.add_string(Entry::string_key, key);
      Builder<Setting> value(entry, Entry::message_value);
      if (setting.is_number()) value.add_double(Setting::double_number_value, setting.get<double>());
      if (setting.is_boolean()) value.add_bool(Setting::bool_bool_value, setting.get<bool>());
      if (setting.is_string()) value.add_string(Setting::string_string_value, setting.get<std::string>());
    }
    start.add_double(SessionStart::double_start_time_secs, start_time);
  }
  Builder<Summary> summary(summary_);
  Builder<Value> entry(summary, Summary::message_value);
  entry.add_string(Value::string_tag, "_hparams_/session_start_info");
  Builder<Metadata> metadata(entry, Value::message_metadata);
  Builder<PluginData> data(metadata, Metadata::message_plugin_data);
  data.add_string(PluginData::string_plugin_name, "hparams");
  data.add_bytes(PluginData::bytes_content, content);
}

std::string SummaryRecord::record(double wall_time, std::uint64_t step) const {
  std::string bytes;
  Builder<Event> event(bytes);
  event.add_double(Event::double_wall_time, wall_time);
  event.add_int64(Event::int64_step, static_cast<std::int64_t>(step));
  event.add_message(Event::message_summary, summary_);
  return event_record(bytes);
}

}  // namespace millrace
