#include "pipeline/stream/evaluation_rows.h"

#include <utility>

#include <xxhash.h>

#include "pipeline/mix/quota.h"
#include "stages/objectives/examples_to_row.h"

namespace millrace {

EvaluationRows::EvaluationRows(const StreamConfig& config, const std::vector<RunCorpus>& corpora, std::uint32_t phase,
                               const Vocabulary& vocabulary)
    : plan_(std::move(prepare_phases(config, corpora, vocabulary).at(phase))),
      seed_(config.seed),
      row_length_(config.sequence_length),
      pad_(vocabulary.pad()),
      eos_(vocabulary.eos()) {}

std::vector<Row> EvaluationRows::operator()(const std::string& corpus, std::vector<TokenId> ids) const {
  if (!plan_.separator) std::erase(ids, eos_);
  const std::uint64_t corpus_id = XXH3_64bits(corpus.data(), corpus.size());
  std::vector<Quota> denoisers;
  for (const ShareUnits share : plan_.denoiser_shares) denoisers.push_back({share, 0, 1});

  std::vector<Row> rows;
  std::vector<Example> open;
  std::size_t filled = 0;
  const auto close_row = [&] {
    if (!open.empty()) rows.push_back(examples_to_row(open, pad_, row_length_, AttentionReach::packed));
    open.clear();
    filled = 0;
  };
  auto at = ids.begin();
  for (std::uint64_t number = 0;; ++number) {
    const std::size_t chosen = choose_by_quota(denoisers, 1);
    const SegmentToExample& denoise = plan_.denoisers[chosen];
    if (ids.end() - at < denoise.raw_length()) break;
    ++denoisers[chosen].taken;
    Segment segment;
    segment.tokens.assign(at, at + denoise.raw_length());
    at += denoise.raw_length();
    ItemRng rng(seed_, Purpose::evaluation, item_of({corpus_id, number}));
    Example example = denoise(segment, rng);
    const std::size_t length = example.inputs.size() + example.targets.size();
    if (filled + length > static_cast<std::size_t>(row_length_)) close_row();
    filled += length;
    open.push_back(std::move(example));
  }
  close_row();
  return rows;
}

}  // namespace millrace
