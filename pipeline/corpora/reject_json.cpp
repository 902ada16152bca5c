#include "pipeline/corpora/reject_json.h"

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {
namespace {

RejectCause cause_in(const JsonValue& json) {
  const auto name = json.get<std::string>("cause");
  if (const std::optional<RejectCause> cause = cause_named(name)) return *cause;
  json.at("cause").fail(fmt::format("is \"{}\", expected the name of a cause", name));
}

}  // namespace

std::optional<RejectCause> cause_named(const std::string& name) {
  for (int cause = 0; cause < kRejectCauses; ++cause)
    if (name == name_of(static_cast<RejectCause>(cause))) return static_cast<RejectCause>(cause);
  return std::nullopt;
}

Json reject_counts_json(const RejectCounts& counts) {
  Json json = Json::object();
  for (std::size_t cause = 0; cause < counts.size(); ++cause)
    if (counts[cause] > 0) json[name_of(static_cast<RejectCause>(cause))] = counts[cause];
  return json;
}

RejectCounts reject_counts_of(const JsonValue& json) {
  RejectCounts counts{};
  for (const auto& [name, count] : json.members()) {
    const std::optional<RejectCause> cause = cause_named(name);
    if (!cause) count.fail("is no cause of a reject");
    counts[static_cast<std::size_t>(*cause)] = count.as<std::uint64_t>();
  }
  return counts;
}

void to_json(Json& json, const Reject& reject) {
  json = {
      {"shard", reject.where.shard},     {"record", reject.where.record},       {"line", reject.where.line},
      {"byte", reject.where.byte},       {"cause", name_of(reject.cause)},      {"reason", reject.reason},
      {"lost_bytes", reject.lost_bytes}, {"lost_records", reject.loss.records}, {"lost_content", reject.loss.bytes}};
}

void from_json(const JsonValue& json, Reject& reject) {
  reject.where = {json.get<std::string>("shard"), json.get<std::uint64_t>("record"), json.get<std::uint64_t>("line"),
                  json.get<std::uint64_t>("byte")};
  reject.cause = cause_in(json);
  reject.reason = json.get<std::string>("reason");
  reject.lost_bytes = json.get<std::uint64_t>("lost_bytes");
  reject.loss = {json.get<std::uint64_t>("lost_records", 1), json.get<std::uint64_t>("lost_content", 0)};
}

std::string to_jsonl(const std::vector<Reject>& rejects) {
  std::string text;
  for (const Reject& reject : rejects) text += json_line(reject) + "\n";
  return text;
}

std::vector<Reject> rejects_from_jsonl(const std::string& text, const std::string& file) {
  std::vector<Reject> rejects;
  for_each_json_line(text, file, "", [&](const JsonValue& json) { rejects.push_back(json.as<Reject>()); });
  return rejects;
}

}  // namespace millrace
