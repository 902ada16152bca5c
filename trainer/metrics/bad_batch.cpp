#include "trainer/metrics/bad_batch.h"

#include "pipeline/json_text.h"

namespace millrace {
namespace {

Json example_json(const ExampleOrigin& example, const OriginNames& names) {
  Json documents = Json::array();
  for (const DocumentSpan& span : example.documents) {
    documents.push_back({{"shard", names.shards.at(example.corpus).at(span.shard)},
                         {"record", span.record},
                         {"from", span.from},
                         {"to", span.to},
                         {"epoch", span.epoch}});
  }
  return {{"example", example.example},
          {"phase", example.phase},
          {"corpus", names.corpora.at(example.corpus)},
          {"denoiser", names.denoisers.at(example.phase).at(example.denoiser)},
          {"documents", documents}};
}

}  // namespace

Json bad_batch_json(std::uint64_t step, const std::string& why, const Batch& batch, const OriginNames& names) {
  Json rows = Json::array();
  for (const StreamRow& row : batch) {
    Json examples = Json::array();
    for (const ExampleOrigin& example : row.examples) examples.push_back(example_json(example, names));
    rows.push_back({{"row", row.number}, {"examples", examples}});
  }
  return {{"step", step}, {"skipped", why}, {"rows", rows}};
}

}  // namespace millrace
