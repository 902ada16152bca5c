#include "pipeline/rows/row_provenance.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_value.h"
#include "pipeline/rows/position.h"
#include "stages/errors.h"

namespace millrace {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const ExampleOrigin& origin) {
  Json documents = Json::array();
  for (const DocumentSpan& span : origin.documents)
    documents.push_back(Json::array({span.shard, span.record, span.from, span.to, span.at, span.epoch}));
  return {{"example", origin.example},
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
          {"documents", documents}};
}

DocumentSpan span_of(const JsonValue& json) {
  const auto numbers = json.as<std::vector<std::uint64_t>>();
  if (numbers.size() != 6) json.fail(fmt::format("is a list of {}, expected 6 numbers", numbers.size()));
  return {json.elements().front().as<std::uint32_t>(), numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]};
}

ExampleOrigin origin_of(const JsonValue& json) {
  ExampleOrigin origin;
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
  for (const JsonValue& span : json.at("documents").elements()) origin.documents.push_back(span_of(span));
  return origin;
}

}  // namespace

std::string story_of(const StreamRow& row) {
  Json examples = Json::array();
  for (const ExampleOrigin& origin : row.examples) examples.push_back(json_of(origin));
  std::string rejects;
  for (const Reject& reject : row.rejects) rejects += to_json(reject) + "\n";
  return Json{{"examples", examples},
              {"raw_tokens", row.raw_tokens},
              {"rejects", rejects},
              {"reject_corpora", row.reject_corpora},
              {"after", Json::parse(to_json(*row.after))}}
      .dump();
}

void add_story(StreamRow& row, const std::string& story, const std::string& file) {
  const std::string name = fmt::format("{}: the story of row {}", file, row.number);
  try {
    const JsonValue json = JsonValue::parse(story, {name, 0, ""});
    for (const JsonValue& origin : json.at("examples").elements()) row.examples.push_back(origin_of(origin));
    row.raw_tokens = json.get<std::vector<TokenId>>("raw_tokens");
    row.rejects = rejects_from_jsonl(json.get<std::string>("rejects"), name);
    row.reject_corpora = json.get<std::vector<std::uint32_t>>("reject_corpora");
    if (row.reject_corpora.size() != row.rejects.size())
      json.at("reject_corpora")
          .fail(fmt::format("is a list of {}, expected one for each of {} rejects", row.reject_corpora.size(),
                            row.rejects.size()));
    row.after = std::make_shared<const Position>(position_from_json(json.at("after")));
  } catch (const ConfigError& error) {
    throw DataError(error.what());
  }
}

}  // namespace millrace
