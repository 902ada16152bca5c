#include "pipeline/rows/position.h"

#include <limits>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {

/// A list of eight numbers, nine where content was lost before, ten where all of the shard was. What is near another
/// number is kept as the distance: a position has as many lists as shards are read side by side.
void to_json(Json& json, const LaneCursor& lane) {
  const SeekPoint& seek = lane.seek;
  json = {lane.turn,    lane.block,
          lane.index,   seek.offset,
          seek.content, seek.byte - seek.content,
          seek.line,    lane.block - seek.record};
  if (seek.lost > 0 || lane.is_bad_so_far) json.push_back(seek.lost);
  if (lane.is_bad_so_far) json.push_back(1);
}

void from_json(const JsonValue& json, LaneCursor& lane) {
  const auto numbers = json.as<std::vector<std::uint64_t>>();
  if (numbers.size() < 8 || numbers.size() > 10)
    json.fail(fmt::format("is a list of {}, expected 8 to 10 numbers", numbers.size()));
  if (numbers[7] > numbers[1])
    json.fail(fmt::format("is read from {} records before record {}, where its block begins", numbers[7], numbers[1]));
  lane.turn = numbers[0];
  lane.block = numbers[1];
  lane.index = numbers[2];
  lane.is_bad_so_far = numbers.size() > 9;
  lane.seek = {numbers[3],
               numbers[4],
               numbers[4] + numbers[5],
               numbers[6],
               numbers[1] - numbers[7],
               numbers.size() > 8 ? numbers[8] : 0};
}

/// A list: the phase, the epoch, the examples given, and for each denoiser those before.
void to_json(Json& json, const WindowPlace& window) {
  json = {window.phase, window.epoch, window.given};
  for (const std::uint64_t examples : window.examples) json.push_back(examples);
}

void from_json(const JsonValue& json, WindowPlace& window) {
  const auto numbers = json.as<std::vector<std::uint64_t>>();
  if (numbers.size() < 4) json.fail(fmt::format("is a list of {}, expected 4 numbers or more", numbers.size()));
  if (numbers[0] > std::numeric_limits<std::uint32_t>::max())
    json.fail(fmt::format("has phase {}, expected one of the run", numbers[0]));
  window.phase = static_cast<std::uint32_t>(numbers[0]);
  window.epoch = numbers[1];
  window.given = numbers[2];
  window.examples.assign(numbers.begin() + 3, numbers.end());
}

void to_json(Json& json, const CorpusPosition& position) {
  json = {{"corpus", position.corpus},
          {"epoch", position.place.epoch},
          {"lanes", position.place.lanes},
          {"lane", position.place.lane},
          {"offset", position.place.offset},
          {"open", position.open},
          {"raw_tokens", position.raw_tokens},
          {"tail_tokens", position.tail_tokens},
          {"tail_documents", position.tail_documents},
          {"phase_raw_tokens", position.phase_raw_tokens},
          {"phase_examples", position.phase_examples},
          {"records", position.records}};
  if (position.windows.empty()) return;
  json["windows"] = position.windows;
  json["read"] = position.place.records;
}

void from_json(const JsonValue& json, CorpusPosition& position) {
  ReadingPlace& place = position.place;
  position.corpus = json.get<std::string>("corpus");
  place.epoch = json.get<std::uint64_t>("epoch");
  place.lanes = json.get<std::vector<LaneCursor>>("lanes");
  place.lane = json.get<std::uint32_t>("lane");
  place.offset = json.get<std::uint64_t>("offset");
  if (place.offset > 0 && place.lane >= place.lanes.size())
    json.at("lane").fail(fmt::format("is {}, but lanes is a list of {}", place.lane, place.lanes.size()));
  position.open = json.get<bool>("open");
  position.raw_tokens = json.get<std::uint64_t>("raw_tokens");
  position.tail_tokens = json.get<std::uint64_t>("tail_tokens");
  position.tail_documents = json.get<std::uint64_t>("tail_documents", 0);
  position.phase_raw_tokens = json.get<std::uint64_t>("phase_raw_tokens");
  position.phase_examples = json.get<std::vector<std::uint64_t>>("phase_examples");
  position.records = json.get<RecordCounts>("records");
  position.windows = json.get<std::vector<WindowPlace>>("windows", {});
  place.records = position.windows.empty() ? position.records : json.get<RecordCounts>("read");
  position.source.place = json.place();
}

void to_json(Json& json, const StreamPosition& position) {
  json = {
      {"row", position.row}, {"example", position.example}, {"phase", position.phase}, {"corpora", position.corpora}};
}

void from_json(const JsonValue& json, StreamPosition& position) {
  position.row = json.get<std::uint64_t>("row");
  position.example = json.get<std::uint64_t>("example");
  position.phase = json.get<std::uint32_t>("phase");
  position.corpora = json.get<std::vector<CorpusPosition>>("corpora");
  position.source.place = json.place();
}

}  // namespace millrace
