#include "pipeline/rows/position.h"

#include <limits>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"

namespace millrace {
namespace {

/// All of a corpus's position but its name and its place.
void add_given(Json& json, const CorpusPosition& position) {
  json["open"] = position.open;
  json["raw_tokens"] = position.raw_tokens;
  json["tail_tokens"] = position.tail_tokens;
  json["tail_documents"] = position.tail_documents;
  json["phase_raw_tokens"] = position.phase_raw_tokens;
  json["phase_examples"] = position.phase_examples;
  json["records"] = position.records;
  if (!position.windows.empty()) json["windows"] = position.windows;
}

void read_given(const JsonValue& json, CorpusPosition& position) {
  position.corpus = json.get<std::string>("corpus");
  position.open = json.get<bool>("open");
  position.raw_tokens = json.get<std::uint64_t>("raw_tokens");
  position.tail_tokens = json.get<std::uint64_t>("tail_tokens");
  position.tail_documents = json.get<std::uint64_t>("tail_documents", 0);
  position.phase_raw_tokens = json.get<std::uint64_t>("phase_raw_tokens");
  position.phase_examples = json.get<std::vector<std::uint64_t>>("phase_examples");
  position.records = json.get<RecordCounts>("records");
  position.windows = json.get<std::vector<WindowPlace>>("windows", {});
  position.source.place = json.place();
}

/// All of a place but the records before it.
void read_place(const JsonValue& json, ReadingPlace& place) {
  place.epoch = json.get<std::uint64_t>("epoch");
  place.lanes = json.get<std::vector<LaneCursor>>("lanes");
  place.lane = json.get<std::uint32_t>("lane");
  place.offset = json.get<std::uint64_t>("offset");
  if (place.offset > 0 && place.lane >= place.lanes.size())
    json.at("lane").fail(fmt::format("is {}, but lanes is a list of {}", place.lane, place.lanes.size()));
}

/// All of a position but its corpora.
StreamPosition numbers_of(const JsonValue& json) {
  StreamPosition position;
  position.row = json.get<std::uint64_t>("row");
  position.example = json.get<std::uint64_t>("example");
  position.phase = json.get<std::uint32_t>("phase");
  position.source.place = json.place();
  return position;
}

}  // namespace

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

void to_json(Json& json, const ReadingPlace& place) {
  json = {{"epoch", place.epoch},
          {"lanes", place.lanes},
          {"lane", place.lane},
          {"offset", place.offset},
          {"read", place.records}};
}

void from_json(const JsonValue& json, ReadingPlace& place) {
  read_place(json, place);
  place.records = json.get<RecordCounts>("read");
}

void to_json(Json& json, const CorpusPosition& position) {
  json = {{"corpus", position.corpus},
          {"epoch", position.place.epoch},
          {"lanes", position.place.lanes},
          {"lane", position.place.lane},
          {"offset", position.place.offset}};
  add_given(json, position);
  if (!position.windows.empty()) json["read"] = position.place.records;
}

void from_json(const JsonValue& json, CorpusPosition& position) {
  read_place(json, position.place);
  read_given(json, position);
  position.place.records = position.windows.empty() ? position.records : json.get<RecordCounts>("read");
}

void to_json(Json& json, const StreamPosition& position) {
  json = {
      {"row", position.row}, {"example", position.example}, {"phase", position.phase}, {"corpora", position.corpora}};
}

void from_json(const JsonValue& json, StreamPosition& position) {
  position = numbers_of(json);
  position.corpora = json.get<std::vector<CorpusPosition>>("corpora");
}

Json position_json(const StreamPosition& position, const std::vector<std::uint64_t>& places) {
  Json corpora = Json::array();
  for (std::size_t i = 0; i < position.corpora.size(); ++i) {
    Json corpus{{"corpus", position.corpora[i].corpus}, {"place", places.at(i)}};
    add_given(corpus, position.corpora[i]);
    corpora.push_back(std::move(corpus));
  }
  return {
      {"row", position.row}, {"example", position.example}, {"phase", position.phase}, {"corpora", std::move(corpora)}};
}

StreamPosition position_from_json(const JsonValue& json, const std::vector<ReadingPlace>& places) {
  StreamPosition position = numbers_of(json);
  for (const JsonValue& corpus : json.at("corpora").elements()) {
    const auto place = corpus.get<std::uint64_t>("place");
    if (place >= places.size())
      corpus.at("place").fail(fmt::format("is {}, but there are {} places", place, places.size()));
    read_given(corpus, position.corpora.emplace_back());
    position.corpora.back().place = places[place];
  }
  return position;
}

}  // namespace millrace
