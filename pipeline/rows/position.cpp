#include "pipeline/rows/position.h"

#include <nlohmann/json.hpp>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_value.h"
#include "pipeline/seek_json.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const RecordCounts& counts) {
  Json json{{"read", counts.read},
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
  return json;
}

RecordCounts counts_of(const JsonValue& json) {
  RecordCounts counts;
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
  return counts;
}

Json json_of(const CorpusPosition& place) {
  return {{"corpus", place.corpus},
          {"epoch", place.epoch},
          {"shard_turn", place.shard_turn},
          {"block", place.block},
          {"seek", json_of(place.seek)},
          {"index", place.index},
          {"offset", place.offset},
          {"open", place.open},
          {"raw_tokens", place.raw_tokens},
          {"tail_tokens", place.tail_tokens},
          {"tail_documents", place.tail_documents},
          {"phase_raw_tokens", place.phase_raw_tokens},
          {"phase_examples", place.phase_examples},
          {"records", json_of(place.records)}};
}

CorpusPosition corpus_position_of(const JsonValue& json) {
  CorpusPosition place;
  place.corpus = json.get<std::string>("corpus");
  place.epoch = json.get<std::uint64_t>("epoch");
  place.shard_turn = json.get<std::uint64_t>("shard_turn");
  place.block = json.get<std::uint64_t>("block");
  place.seek = seek_point_of(json.at("seek"));
  place.index = json.get<std::uint64_t>("index");
  place.offset = json.get<std::uint64_t>("offset");
  place.open = json.get<bool>("open");
  place.raw_tokens = json.get<std::uint64_t>("raw_tokens");
  place.tail_tokens = json.get<std::uint64_t>("tail_tokens");
  place.tail_documents = json.get<std::uint64_t>("tail_documents", 0);
  place.phase_raw_tokens = json.get<std::uint64_t>("phase_raw_tokens");
  place.phase_examples = json.get<std::vector<std::uint64_t>>("phase_examples");
  place.records = counts_of(json.at("records"));
  place.source.place = json.place();
  return place;
}

}  // namespace

std::string to_json(const Position& position) {
  Json corpora = Json::array();
  for (const CorpusPosition& place : position.corpora) corpora.push_back(json_of(place));
  return Json{{"row", position.row}, {"example", position.example}, {"phase", position.phase}, {"corpora", corpora}}
      .dump();
}

Position position_from_json(const JsonValue& json) {
  Position position;
  position.row = json.get<std::uint64_t>("row");
  position.example = json.get<std::uint64_t>("example");
  position.phase = json.get<std::uint32_t>("phase");
  for (const JsonValue& place : json.at("corpora").elements()) position.corpora.push_back(corpus_position_of(place));
  position.source.place = json.place();
  return position;
}

Position position_from_json(const std::string& text) {
  return position_from_json(JsonValue::parse(text, {"position", 0, ""}));
}

}  // namespace millrace
