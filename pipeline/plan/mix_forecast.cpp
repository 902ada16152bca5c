#include "pipeline/plan/mix_forecast.h"

#include "pipeline/corpora/data_manifest.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::uint64_t bytes_of(const StreamConfig& stream, const RunCorpus& corpus) {
  std::uint64_t bytes = 0;
  for (const std::string& shard : corpus.shards) bytes += fs::file_size(shard_path(stream, shard));
  return bytes;
}

}  // namespace

std::optional<double> MixForecast::epochs(const PhaseTake& taken, std::size_t corpus) const {
  const AvailableTokens* there = available(corpus);
  if (there == nullptr || there->tokens <= 0 || !taken.raw_tokens[corpus]) return std::nullopt;
  return *taken.raw_tokens[corpus] / there->tokens;
}

MixForecast forecast_mix(const ForecastRequest& request, const Vocabulary* vocabulary, const JobCallbacks& callbacks) {
  const StreamConfig& stream = request.stream;
  MixForecast forecast;
  forecast.corpora = corpora_of(stream, request.has_data() ? FindShards::yes : FindShards::no);
  if (request.has_data()) {
    for (const RunCorpus& corpus : forecast.corpora) forecast.bytes.push_back(bytes_of(stream, corpus));
    callbacks.leave_if_interrupted();
    if (vocabulary != nullptr) {
      const std::optional<DataManifest> manifest = manifest_of(stream.data_directory);
      if (manifest) forecast.manifest = fs::path(stream.data_directory) / kManifestName;
      forecast.inputs.available =
          available_tokens(stream, forecast.corpora, *vocabulary, manifest ? &*manifest : nullptr);
      callbacks.leave_if_interrupted();
      if (request.has_objectives()) forecast.inputs.phases = prepare_phases(stream, forecast.corpora, *vocabulary);
    }
  }
  forecast.plan = plan_mix(stream, forecast.corpora, request.horizon > 0 ? request.horizon : 1, forecast.inputs);
  return forecast;
}

}  // namespace millrace
