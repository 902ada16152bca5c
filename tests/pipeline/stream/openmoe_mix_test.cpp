#include <cmath>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"
#include "pipeline/rows/row_statistics.h"
#include "pipeline/stream/data_pipeline.h"
#include "tests/stages/shared_data.h"

namespace millrace {
namespace {

constexpr std::uint64_t kOpenMoeRows = 10'000;
constexpr int kOpenMoeRowLength = 2048;

TEST(OpenMoeMix, HasEveryCorpusAndDenoiserWithinOneExampleAfterTenThousandRowsLong) {
  const std::filesystem::path data = shared_folder() / "data";
  const std::filesystem::path model = shared_folder() / "tokenizers/standin/standin256k.model";
  MILLRACE_SKIP_WITHOUT(data / "redpajama");
  MILLRACE_SKIP_WITHOUT(model);
#ifndef MILLRACE_HAS_DUCKDB
  GTEST_SKIP() << "The Stack's shards are Parquet, and this build has no DuckDB";
#endif
  const std::filesystem::path mixes = std::filesystem::path(MILLRACE_SOURCE_DIR) / "mixes";
  StreamConfig config;
  config.sequence_length = kOpenMoeRowLength;
  config.data_directory = data.string();
  config.phases = {{kOpenMoeRows * kOpenMoeRowLength, load_mix(mixes / "openmoe-v1.toml"),
                    load_objective(mixes / "objectives/ul2-openmoe.toml")}};
  const Mix& mix = config.phases[0].mix;
  const std::vector<Denoiser>& denoisers = config.phases[0].objective.denoisers;

  const Vocabulary vocabulary(model);
  DataPipeline pipeline(config, corpora_of(config, FindShards::yes), vocabulary, std::nullopt, {});
  Ledger ledger;
  StreamStatistics statistics(config, vocabulary.pieces());
  std::uint64_t longest = 0;
  while (const std::optional<Batch> batch = pipeline.next()) {
    ledger.add(batch->front());
    statistics.add(batch->front());
    longest = std::max(longest, batch->front().examples.front().raw_tokens);
  }
  ASSERT_EQ(ledger.rows(), kOpenMoeRows);
  const PhaseStatistics& rows = statistics.phases().at(0);
  EXPECT_EQ(rows.positions, ledger.positions());
  EXPECT_GE(static_cast<double>(rows.real_positions), 0.995 * static_cast<double>(rows.positions));

  fmt::print("{:>14} {:>12} {:>12} {:>9} {:>9}\n", "corpus", "asked", "raw tokens", "examples", "longest");
  for (std::uint32_t c = 0; c < mix.corpora.size(); ++c) {
    std::uint64_t raw_tokens = 0;
    std::uint64_t examples = 0;
    for (std::uint32_t d = 0; d < denoisers.size(); ++d) {
      const auto entry = ledger.entries().find({0, c, d});
      ASSERT_NE(entry, ledger.entries().end()) << mix.corpora[c].name << " has no " << denoisers[d].name;
      raw_tokens += entry->second.raw_tokens;
      examples += entry->second.examples;
    }
    const double share = static_cast<double>(mix.corpora[c].share) / static_cast<double>(kShareUnits);
    const double asked = share * static_cast<double>(ledger.raw_tokens());
    fmt::print("{:>14} {:>12.1f} {:>12} {:>9} {:>9}\n", mix.corpora[c].name, asked, raw_tokens, examples, longest);
    EXPECT_LE(std::abs(static_cast<double>(raw_tokens) - asked), static_cast<double>(longest)) << mix.corpora[c].name;
    for (std::uint32_t d = 0; d < denoisers.size(); ++d) {
      const std::uint64_t count = ledger.entries().at({0, c, d}).examples;
      const double asked_examples = denoisers[d].share * static_cast<double>(examples);
      fmt::print("{:>14} {:>12.1f} {:>12} examples\n", denoisers[d].name, asked_examples, count);
      EXPECT_LE(std::abs(static_cast<double>(count) - asked_examples), 1 + 1e-9)
          << mix.corpora[c].name << ", " << denoisers[d].name;
    }
  }
}

}  // namespace
}  // namespace millrace
