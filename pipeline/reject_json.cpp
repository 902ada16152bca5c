#include "pipeline/reject_json.h"

#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stages/errors.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

Reject reject_of(const Json& json) {
  Reject reject;
  reject.where = {json.at("shard"), json.at("record"), json.at("line"), json.at("byte")};
  reject.cause = cause_named(json.at("cause"));
  reject.reason = json.at("reason");
  reject.lost_bytes = json.at("lost_bytes");
  reject.loss = {json.value("lost_records", std::uint64_t{1}), json.value("lost_content", std::uint64_t{0})};
  return reject;
}

}  // namespace

RejectCause cause_named(const std::string& name) {
  for (int cause = 0; cause < kRejectCauses; ++cause)
    if (name == name_of(static_cast<RejectCause>(cause))) return static_cast<RejectCause>(cause);
  throw ConfigError(fmt::format("there is no cause \"{}\"", name));
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
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    try {
      rejects.push_back(reject_of(Json::parse(line)));
    } catch (const std::exception& error) {
      throw ConfigError(fmt::format("{}:{}: not a reject: {}", file, rejects.size() + 1, error.what()));
    }
  }
  return rejects;
}

}  // namespace millrace
