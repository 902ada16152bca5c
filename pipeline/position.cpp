#include "pipeline/position.h"

#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/seek_json.h"
#include "stages/errors.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const RecordCounts& counts) {
  Json rejected = Json::object();
  for (int cause = 0; cause < kRejectCauses; ++cause)
    if (const std::uint64_t count = counts.rejected[static_cast<std::size_t>(cause)]; count > 0)
      rejected[name_of(static_cast<RejectCause>(cause))] = count;
  Json json{{"read", counts.read},
            {"held_out", counts.held_out},
            {"filtered", counts.filtered},
            {"skipped", counts.skipped},
            {"rejected_records", counts.rejected_records},
            {"rejected", rejected},
            {"bytes", counts.bytes},
            {"lost_records", counts.lost.records},
            {"lost_content", counts.lost.bytes}};
  if (counts.shortened > 0) {
    json["shortened"] = counts.shortened;
    json["dropped_tokens"] = counts.dropped_tokens;
  }
  return json;
}

RecordCounts counts_of(const Json& json) {
  RecordCounts counts;
  counts.read = json.at("read");
  counts.held_out = json.at("held_out");
  counts.filtered = json.at("filtered");
  counts.skipped = json.at("skipped");
  counts.rejected_records = json.value("rejected_records", std::uint64_t{0});
  counts.bytes = json.value("bytes", std::uint64_t{0});
  counts.lost = {json.value("lost_records", std::uint64_t{0}), json.value("lost_content", std::uint64_t{0})};
  for (int cause = 0; cause < kRejectCauses; ++cause)
    counts.rejected[static_cast<std::size_t>(cause)] =
        json.at("rejected").value(name_of(static_cast<RejectCause>(cause)), std::uint64_t{0});
  counts.shortened = json.value("shortened", std::uint64_t{0});
  counts.dropped_tokens = json.value("dropped_tokens", std::uint64_t{0});
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

CorpusPosition corpus_position_of(const Json& json) {
  CorpusPosition place;
  place.corpus = json.at("corpus");
  place.epoch = json.at("epoch");
  place.shard_turn = json.at("shard_turn");
  place.block = json.at("block");
  place.seek = seek_point_of(json.at("seek"));
  place.index = json.at("index");
  place.offset = json.at("offset");
  place.open = json.at("open");
  place.raw_tokens = json.at("raw_tokens");
  place.tail_tokens = json.at("tail_tokens");
  place.tail_documents = json.value("tail_documents", std::uint64_t{0});
  place.phase_raw_tokens = json.at("phase_raw_tokens");
  place.phase_examples = json.at("phase_examples").get<std::vector<std::uint64_t>>();
  place.records = counts_of(json.at("records"));
  return place;
}

}  // namespace

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

std::string to_json(const Position& position) {
  Json corpora = Json::array();
  for (const CorpusPosition& place : position.corpora) corpora.push_back(json_of(place));
  return Json{{"row", position.row}, {"example", position.example}, {"phase", position.phase}, {"corpora", corpora}}
      .dump();
}

Position position_from_json(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Position position;
    position.row = json.at("row");
    position.example = json.at("example");
    position.phase = json.at("phase");
    for (const Json& place : json.at("corpora")) position.corpora.push_back(corpus_position_of(place));
    return position;
  } catch (const Json::exception& error) {
    throw ConfigError(fmt::format("not a position in a stream: {}", error.what()));
  }
}

}  // namespace millrace
