#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/mix/mixer.h"
#include "tests/pipeline/folder_corpus.h"
#include "tests/pipeline/share_bounds.h"

namespace millrace {

inline constexpr int kRowLength = 64;
inline constexpr std::uint64_t kForever = 1ull << 60;

inline std::string json_line(const std::string& text) {
  return "{\"text\":\"" + text + "\"}\n";
}

inline Denoiser denoiser(DenoiserKind kind, ShareUnits share, double mean_span = 3, double mask_ratio = 0.15) {
  return {"d", kind, static_cast<double>(share) / static_cast<double>(kShareUnits), mean_span, mask_ratio, "[X] "};
}

inline Objective three_denoisers(ShareUnits first, ShareUnits second, Separator separator = Separator::none) {
  Objective objective;
  objective.separator = separator;
  objective.denoisers = {denoiser(DenoiserKind::span, first), denoiser(DenoiserKind::span, second, 8, 0.5),
                         denoiser(DenoiserKind::prefix, kShareUnits - first - second)};
  return objective;
}

inline StreamConfig config_over(const std::filesystem::path& data, const std::vector<Corpus>& corpora,
                                const Objective& objective) {
  StreamConfig config;
  config.seed = 11;
  config.sequence_length = kRowLength;
  config.data_directory = data.string();
  config.shuffle_block = 16;
  config.holdout = 0;
  config.phases = {{kForever, {"mix", "mix.toml", corpora}, objective}};
  return config;
}

/// Raw tokens per corpus, and examples per corpus and denoiser, since the counters were last reset.
struct Counts {
  explicit Counts(std::size_t corpora, std::size_t denoisers)
      : raw_tokens(corpora, 0), examples(corpora, std::vector<std::uint64_t>(denoisers, 0)) {}
  void add(const ExampleOrigin& origin) {
    raw_tokens[origin.corpus] += origin.raw_tokens;
    ++examples[origin.corpus][origin.denoiser];
  }
  std::vector<std::uint64_t> raw_tokens;
  std::vector<std::vector<std::uint64_t>> examples;
};

/// What deviates from its share: a corpus by more than the longest example, or a denoiser by more than one example.
inline std::string breach(const Counts& counts, const PreparedPhase& plan) {
  std::string found = out_of_share(plan.corpus_shares, counts.raw_tokens, plan.longest);
  for (std::size_t i = 0; found.empty() && i < counts.examples.size(); ++i) {
    found = out_of_share(plan.denoiser_shares, counts.examples[i], 1);
    if (!found.empty()) found = "of corpus " + std::to_string(i) + ", denoiser: " + found;
  }
  return found;
}

}  // namespace millrace
