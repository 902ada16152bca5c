#include "pipeline/corpora/record_counts.h"

#include <cstddef>
#include <numeric>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {

std::uint64_t RecordCounts::rejected_total() const {
  return std::accumulate(rejected.begin(), rejected.end(), std::uint64_t{0});
}

RecordCounts& RecordCounts::operator+=(const RecordCounts& other) {
  read += other.read;
  held_out += other.held_out;
  filtered += other.filtered;
  skipped += other.skipped;
  rejected_records += other.rejected_records;
  bytes += other.bytes;
  lost += other.lost;
  for (std::size_t cause = 0; cause < rejected.size(); ++cause) rejected[cause] += other.rejected[cause];
  shortened += other.shortened;
  dropped_tokens += other.dropped_tokens;
  return *this;
}

void to_json(Json& json, const RecordCounts& counts) {
  json = {{"read", counts.read},
          {"held_out", counts.held_out},
          {"filtered", counts.filtered},
          {"skipped", counts.skipped},
          {"rejected_records", counts.rejected_records},
          {"rejected", reject_counts_json(counts.rejected)},
          {"bytes", counts.bytes},
          {"lost_records", counts.lost.records},
          {"lost_content", counts.lost.bytes}};
  if (counts.shortened > 0) {
    json["shortened"] = counts.shortened;
    json["dropped_tokens"] = counts.dropped_tokens;
  }
}

void from_json(const JsonValue& json, RecordCounts& counts) {
  counts.read = json.get<std::uint64_t>("read");
  counts.held_out = json.get<std::uint64_t>("held_out");
  counts.filtered = json.get<std::uint64_t>("filtered");
  counts.skipped = json.get<std::uint64_t>("skipped");
  counts.rejected_records = json.get<std::uint64_t>("rejected_records", 0);
  counts.bytes = json.get<std::uint64_t>("bytes", 0);
  counts.lost = {json.get<std::uint64_t>("lost_records", 0), json.get<std::uint64_t>("lost_content", 0)};
  counts.rejected = reject_counts_of(json.at("rejected"));
  counts.shortened = json.get<std::uint64_t>("shortened", 0);
  counts.dropped_tokens = json.get<std::uint64_t>("dropped_tokens", 0);
}

}  // namespace millrace
