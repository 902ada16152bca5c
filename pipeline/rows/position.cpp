#include "pipeline/rows/position.h"

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/seek_json.h"

namespace millrace {
void to_json(Json& json, const CorpusPosition& place) {
  json = {{"corpus", place.corpus},
          {"epoch", place.epoch},
          {"shard_turn", place.shard_turn},
          {"block", place.block},
          {"seek", place.seek},
          {"index", place.index},
          {"offset", place.offset},
          {"open", place.open},
          {"raw_tokens", place.raw_tokens},
          {"tail_tokens", place.tail_tokens},
          {"tail_documents", place.tail_documents},
          {"phase_raw_tokens", place.phase_raw_tokens},
          {"phase_examples", place.phase_examples},
          {"records", place.records}};
}

void from_json(const JsonValue& json, CorpusPosition& place) {
  place.corpus = json.get<std::string>("corpus");
  place.epoch = json.get<std::uint64_t>("epoch");
  place.shard_turn = json.get<std::uint64_t>("shard_turn");
  place.block = json.get<std::uint64_t>("block");
  place.seek = json.get<SeekPoint>("seek");
  place.index = json.get<std::uint64_t>("index");
  place.offset = json.get<std::uint64_t>("offset");
  place.open = json.get<bool>("open");
  place.raw_tokens = json.get<std::uint64_t>("raw_tokens");
  place.tail_tokens = json.get<std::uint64_t>("tail_tokens");
  place.tail_documents = json.get<std::uint64_t>("tail_documents", 0);
  place.phase_raw_tokens = json.get<std::uint64_t>("phase_raw_tokens");
  place.phase_examples = json.get<std::vector<std::uint64_t>>("phase_examples");
  place.records = json.get<RecordCounts>("records");
  place.source.place = json.place();
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
