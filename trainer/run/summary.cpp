#include "trainer/run/summary.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"
#include "trainer/metrics/process_memory.h"

namespace millrace {
namespace {

const char* name_of(TrainEnd end) {
  switch (end) {
    case TrainEnd::complete:
      return "complete";
    case TrainEnd::stream_ended:
      return "stream_ended";
    case TrainEnd::interrupted:
      return "interrupted";
    case TrainEnd::bad_steps:
      return "bad_steps";
  }
  return "unknown";
}

Json ledger_json(const SummaryInputs& inputs) {
  Json lines = Json::array();
  for (const auto& [key, entry] : inputs.state.ledger.entries()) {
    const Phase& phase = inputs.stream.phases.at(key.phase);
    lines.push_back({{"phase", key.phase},
                     {"mix", phase.mix.name},
                     {"objective", phase.objective.name},
                     {"corpus", inputs.corpora.at(key.corpus)},
                     {"denoiser", phase.objective.denoisers.at(key.denoiser).name},
                     {"documents", entry.documents},
                     {"examples", entry.examples},
                     {"raw_tokens", entry.raw_tokens},
                     {"loss_tokens", entry.loss_tokens},
                     {"trimmed_tokens", entry.trimmed_tokens}});
  }
  return lines;
}

Json shares_json(const SummaryInputs& inputs) {
  Json phases = Json::array();
  for (const PhaseShares& phase : realised_shares(inputs.state, inputs.stream, inputs.corpora)) {
    Json corpora = Json::array();
    for (const ShareOutcome& corpus : phase.corpora) {
      corpora.push_back({{"name", corpus.corpus},
                         {"asked", corpus.asked},
                         {"realised", corpus.realised},
                         {"raw_tokens", corpus.raw_tokens},
                         {"off_by_tokens", corpus.off_by_tokens},
                         {"within_one_example", corpus.within_one_example}});
    }
    phases.push_back(
        {{"phase", phase.phase}, {"mix", phase.mix}, {"longest_example", phase.longest_example}, {"corpora", corpora}});
  }
  return phases;
}

/// Up to the last row trained on, or to the stream's end if that was reached.
Json records_json(const std::optional<StreamPosition>& position) {
  Json corpora = Json::object();
  if (!position) return corpora;
  for (const CorpusPosition& corpus : position->corpora) {
    corpora[corpus.corpus] = {{"epoch", corpus.epoch()},
                              {"read", corpus.records.read},
                              {"held_out", corpus.records.held_out},
                              {"filtered", corpus.records.filtered},
                              {"skipped", corpus.records.skipped},
                              {"tail_tokens", corpus.tail_tokens},
                              {"tail_documents", corpus.tail_documents},
                              {"shortened", corpus.records.shortened},
                              {"dropped_tokens", corpus.records.dropped_tokens},
                              {"rejected", reject_counts_json(corpus.records.rejected)},
                              {"rejected_records", corpus.records.rejected_records},
                              {"lost_records", corpus.records.lost.records},
                              {"lost_content", corpus.records.lost.bytes}};
  }
  return corpora;
}

/// {"grid": {"data", ..}, "machines": {HOST: ranks}, "compute_s", "exchange_s": {"gradients", ..}}
Json shared_json(const std::optional<SharedWork>& shared) {
  if (!shared) return nullptr;
  const ProcessGrid& grid = shared->grid;
  std::map<std::string, int> machines;
  for (const std::string& host : shared->hosts) ++machines[host];
  return {
      {"grid", {{"data", grid.data}, {"expert", grid.expert}, {"tensor", grid.tensor}, {"pipeline", grid.pipeline}}},
      {"machines", machines},
      {"compute_s", shared->times.compute},
      {"exchange_s", shared->times.exchanges}};
}

/// The last evaluation relative to the unigram bound: by what share of it the model's loss is lower. null if one of
/// both is not there, or is not finite.
Json unigram_json(const TrainState& state) {
  const Json last = state.last_evaluation;
  if (last.is_null()) return nullptr;
  const Json& overall = last.at("overall");
  for (const char* key : {"loss", "unigram_loss"})
    if (!overall.is_object() || !overall.contains(key) || !overall.at(key).is_number()) return nullptr;
  const double bound = overall.at("unigram_loss").get<double>();
  const double loss = overall.at("loss").get<double>();
  return {{"smoothing", "add-one over the vocabulary's embedding rows"},
          {"tokens", overall.at("tokens")},
          {"bound", bound},
          {"loss", loss},
          {"below_bound", 1 - loss / bound}};
}

}  // namespace

std::vector<PhaseShares> realised_shares(const TrainState& state, const StreamConfig& stream,
                                         const std::vector<std::string>& corpora) {
  std::vector<PhaseShares> phases;
  for (std::uint32_t number = 0; number < state.longest_example.size(); ++number) {
    const Mix& mix = stream.phases.at(number).mix;
    PhaseShares phase{number, mix.name, state.longest_example[number], {}};
    std::uint64_t all_tokens = 0;
    for (const auto& [key, entry] : state.ledger.entries())
      if (key.phase == number) all_tokens += entry.raw_tokens;
    if (all_tokens == 0) continue;
    for (const Corpus& corpus : mix.corpora) {
      ShareOutcome outcome;
      outcome.corpus = corpus.name;
      outcome.asked = static_cast<double>(corpus.share) / static_cast<double>(kShareUnits);
      for (const auto& [key, entry] : state.ledger.entries())
        if (key.phase == number && corpora.at(key.corpus) == corpus.name) outcome.raw_tokens += entry.raw_tokens;
      outcome.realised = static_cast<double>(outcome.raw_tokens) / static_cast<double>(all_tokens);
      outcome.off_by_tokens =
          std::abs(static_cast<double>(outcome.raw_tokens) - outcome.asked * static_cast<double>(all_tokens));
      outcome.within_one_example = outcome.off_by_tokens <= static_cast<double>(phase.longest_example);
      phase.corpora.push_back(outcome);
    }
    phases.push_back(std::move(phase));
  }
  return phases;
}

Json summary_json(const SummaryInputs& inputs) {
  const TrainState& state = inputs.state;
  const RunTimes& times = state.times;
  const double wall = std::max(times.wall, 1e-9);
  return {{"run", inputs.identity.name},
          {"end", name_of(inputs.end)},
          {"from", inputs.origin},
          {"steps", state.step},
          {"total_steps", inputs.total_steps},
          {"skipped_steps", state.skipped_steps},
          {"rows", state.ledger.rows()},
          {"dropped_rows", inputs.dropped_rows},
          {"tokens", state.ledger.positions()},
          {"raw_tokens", state.ledger.raw_tokens()},
          {"loss_tokens", state.ledger.loss_tokens()},
          {"trimmed_tokens", state.ledger.trimmed_tokens()},
          {"losses", {{"first", state.first_loss}, {"best", state.best_loss}, {"last", state.last_loss}}},
          {"unigram", unigram_json(state)},
          {"evaluations",
           {{"first", state.first_evaluation}, {"last", state.last_evaluation}, {"own", state.own_evaluations}}},
          {"shares", shares_json(inputs)},
          {"ledger", ledger_json(inputs)},
          {"records", records_json(inputs.end_of_stream ? inputs.end_of_stream : state.position)},
          {"times",
           {{"wall_s", times.wall},
            {"data_wait_s", times.data_wait},
            {"data_wait_share", times.data_wait / wall},
            {"evaluation_s", times.evaluation},
            {"checkpoint_s", times.checkpoint},
            {"checkpoint_share", times.checkpoint / wall}}},
          {"failed_saves", state.failed_saves},
          {"tokens_per_s", static_cast<double>(state.ledger.positions()) / wall},
          {"peak_memory_bytes", peak_memory()},
          {"threads", inputs.threads},
          {"ranks", shared_json(inputs.shared)},
          {"versions",
           {{"millrace", inputs.identity.program_version},
            {"stream", inputs.identity.stream_version},
            {"compiler", __VERSION__},
            {"processor", inputs.identity.processor},
            {"run_hash", inputs.identity.run_hash},
            {"vocabulary_hash", inputs.identity.vocabulary_hash}}}};
}

}  // namespace millrace
