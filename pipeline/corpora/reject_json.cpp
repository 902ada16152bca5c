#include "pipeline/corpora/reject_json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/json_value.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

RejectCause cause_in(const JsonValue& json) {
  const auto name = json.get<std::string>("cause");
  if (const std::optional<RejectCause> cause = cause_named(name)) return *cause;
  json.at("cause").fail(fmt::format("is \"{}\", expected the name of a cause", name));
}

Reject reject_of(const JsonValue& json) {
  Reject reject;
  reject.where = {json.get<std::string>("shard"), json.get<std::uint64_t>("record"), json.get<std::uint64_t>("line"),
                  json.get<std::uint64_t>("byte")};
  reject.cause = cause_in(json);
  reject.reason = json.get<std::string>("reason");
  reject.lost_bytes = json.get<std::uint64_t>("lost_bytes");
  reject.loss = {json.get<std::uint64_t>("lost_records", 1), json.get<std::uint64_t>("lost_content", 0)};
  return reject;
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

std::string to_json(const Reject& reject) {
  const Json json{
      {"shard", reject.where.shard},     {"record", reject.where.record},       {"line", reject.where.line},
      {"byte", reject.where.byte},       {"cause", name_of(reject.cause)},      {"reason", reject.reason},
      {"lost_bytes", reject.lost_bytes}, {"lost_records", reject.loss.records}, {"lost_content", reject.loss.bytes}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<Reject> rejects_from_jsonl(const std::string& text, const std::string& file) {
  std::vector<Reject> rejects;
  for_each_json_line(text, file, "", [&](const JsonValue& json) { rejects.push_back(reject_of(json)); });
  return rejects;
}

}  // namespace millrace
