#include "trainer/run/held_out_set.h"

#include <algorithm>

#include "pipeline/reading/held_out.h"
#include "pipeline/stream/evaluation_rows.h"

namespace millrace {

std::vector<HeldOutTokens> held_out_ids(const StreamConfig& stream, const std::vector<RunCorpus>& corpora,
                                        const Vocabulary& vocabulary, std::uint64_t tokens) {
  if (stream.holdout <= 0 || tokens == 0) return {};
  const std::uint64_t tokens_per_corpus = (tokens + corpora.size() - 1) / corpora.size();
  std::vector<HeldOutTokens> all;
  for (const HeldOut& held_out : gather_held_out(stream, corpora, vocabulary, tokens_per_corpus)) {
    HeldOutTokens& corpus = all.emplace_back();
    corpus.corpus = held_out.corpus;
    corpus.text_bytes = held_out.text_bytes;
    for (std::size_t i = 0; i < held_out.documents.size(); ++i) {
      const bool cut = held_out.last_is_cut && i + 1 == held_out.documents.size();
      append_document(corpus, held_out.documents[i], cut ? DocumentPart::beginning : DocumentPart::whole,
                      vocabulary.eos());
    }
  }
  return all;
}

std::optional<ObjectiveRows> held_out_rows(const StreamConfig& stream, const std::vector<RunCorpus>& corpora,
                                           std::uint32_t phase, const std::vector<HeldOutTokens>& held_out,
                                           const Vocabulary& vocabulary) {
  const Objective& objective = stream.phases.at(phase).objective;
  const bool causal =
      std::ranges::all_of(objective.denoisers, [](const Denoiser& d) { return d.kind == DenoiserKind::causal; });
  if (causal) return std::nullopt;
  const EvaluationRows rows_of(stream, corpora, phase, vocabulary);
  ObjectiveRows rows{objective.name, {}};
  for (const HeldOutTokens& corpus : held_out)
    rows.corpora.push_back({corpus.corpus, rows_of(corpus.corpus, corpus.ids)});
  return rows;
}

}  // namespace millrace
