#include "pipeline/row_story.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

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

ExampleOrigin origin_of(const Json& json) {
  ExampleOrigin origin;
  origin.example = json.at("example");
  origin.phase = json.at("phase");
  origin.corpus = json.at("corpus");
  origin.denoiser = json.at("denoiser");
  origin.raw_tokens = json.at("raw_tokens");
  origin.segment_tokens = json.at("segment_tokens");
  origin.trimmed_tokens = json.at("trimmed_tokens");
  origin.loss_tokens = json.at("loss_tokens");
  origin.documents_begun = json.at("documents_begun");
  origin.first = json.at("first");
  origin.inputs = json.at("inputs");
  origin.targets = json.at("targets");
  for (const Json& span : json.at("documents"))
    origin.documents.push_back({span.at(0), span.at(1), span.at(2), span.at(3), span.at(4), span.at(5)});
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

void add_story(StreamRow& row, const std::string& story) {
  try {
    const Json json = Json::parse(story);
    for (const Json& origin : json.at("examples")) row.examples.push_back(origin_of(origin));
    row.raw_tokens = json.at("raw_tokens").get<std::vector<TokenId>>();
    row.rejects = rejects_from_jsonl(json.at("rejects"), "story");
    row.reject_corpora = json.at("reject_corpora").get<std::vector<std::uint32_t>>();
    row.after = std::make_shared<const Position>(position_from_json(json.at("after").dump()));
  } catch (const std::exception& error) {
    throw DataError(fmt::format("row {}: its story cannot be read: {}", row.number, error.what()));
  }
}

}  // namespace millrace
