#include "pipeline/rows/row_provenance.h"

#include <memory>

#include <fmt/format.h>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/rows/position.h"

namespace millrace {
void to_json(Json& json, const DocumentSpan& span) {
  json = {span.shard, span.record, span.from, span.to, span.at, span.epoch};
}

void to_json(Json& json, const ExampleOrigin& origin) {
  json = {{"example", origin.example},
          {"phase", origin.phase},
          {"corpus", origin.corpus},
          {"denoiser", origin.denoiser},
          {"raw_tokens", origin.raw_tokens},
          {"segment_tokens", origin.segment_tokens},
          {"trimmed_tokens", origin.trimmed_tokens},
          {"loss_tokens", origin.loss_tokens},
          {"documents_begun", origin.documents_begun},
          {"first", origin.first},
          {"inputs", origin.inputs},
          {"targets", origin.targets},
          {"documents", origin.documents}};
}

void from_json(const JsonValue& json, DocumentSpan& span) {
  const auto numbers = json.as<std::vector<std::uint64_t>>();
  if (numbers.size() != 6) json.fail(fmt::format("is a list of {}, expected 6 numbers", numbers.size()));
  span = {json.elements().front().as<std::uint32_t>(), numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]};
}

void from_json(const JsonValue& json, ExampleOrigin& origin) {
  origin.example = json.get<std::uint64_t>("example");
  origin.phase = json.get<std::uint32_t>("phase");
  origin.corpus = json.get<std::uint32_t>("corpus");
  origin.denoiser = json.get<std::uint32_t>("denoiser");
  origin.raw_tokens = json.get<std::uint64_t>("raw_tokens");
  origin.segment_tokens = json.get<std::uint64_t>("segment_tokens");
  origin.trimmed_tokens = json.get<std::uint64_t>("trimmed_tokens");
  origin.loss_tokens = json.get<std::uint64_t>("loss_tokens");
  origin.documents_begun = json.get<std::uint64_t>("documents_begun");
  origin.first = json.get<std::uint32_t>("first");
  origin.inputs = json.get<std::uint32_t>("inputs");
  origin.targets = json.get<std::uint32_t>("targets");
  origin.documents = json.get<std::vector<DocumentSpan>>("documents");
}

Json provenance_json(const StreamRow& row) {
  Json json = origins_json(row);
  json["raw_tokens"] = row.raw_tokens;
  json["after"] = *row.after;
  return json;
}

void add_provenance(StreamRow& row, const JsonValue& provenance) {
  add_origins(row, provenance);
  row.raw_tokens = provenance.get<std::vector<TokenId>>("raw_tokens");
  row.after = std::make_shared<const StreamPosition>(provenance.get<StreamPosition>("after"));
}

Json origins_json(const StreamRow& row) {
  return {{"examples", row.examples}, {"rejects", to_jsonl(row.rejects)}, {"reject_corpora", row.reject_corpora}};
}

void add_origins(StreamRow& row, const JsonValue& origins) {
  row.examples = origins.get<std::vector<ExampleOrigin>>("examples");
  row.rejects = rejects_from_jsonl(origins.get<std::string>("rejects"), origins.place("rejects"));
  row.reject_corpora = origins.get<std::vector<std::uint32_t>>("reject_corpora");
  if (row.reject_corpora.size() != row.rejects.size())
    origins.at("reject_corpora")
        .fail(fmt::format("is a list of {}, expected one for each of {} rejects", row.reject_corpora.size(),
                          row.rejects.size()));
}

}  // namespace millrace
