#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "pipeline/job.h"
#include "pipeline/sample/sample_shards.h"
#include "pipeline/sample/sample_sources.h"
#include "pipeline/sample/sample_text.h"

namespace millrace {

/// What a sample is made of, in the order of SampleCorpus.
struct SamplePlan {
  const char* name;
  double share;  ///< Of the text, before one corpus makes up for what another lacks.
};
inline constexpr std::array<SamplePlan, kSampleCorpora> kSamplePlan{{{"docs", 0.28},
                                                                     {"manuals", 0.17},
                                                                     {"translated manuals", 0.15},
                                                                     {"licences", 0.05},
                                                                     {"c-family", 0.20},
                                                                     {"scripts", 0.15}}};

/// Chooses a sample's documents: every corpus up to its share; what one lacks, the others make up for.
class SampleCollector {
 public:
  SampleCollector(const std::vector<std::string>& roots, double bytes);

  /// Throws Interrupted.
  void collect(const JobCallbacks& callbacks);
  std::uint64_t bytes() const;  ///< Of the documents chosen.

  std::array<std::vector<SampleDocument>, kSampleCorpora> documents;
  std::array<std::uint64_t, kLeftOutKinds> left_out{};  ///< Files, by LeftOut.

 private:
  struct Filling {
    std::vector<SampleSource> sources;
    std::size_t next = 0;
    std::uint64_t bytes = 0;
    double target = 0;
    bool exhausted() const { return next == sources.size(); }
  };
  double missing() const;
  void raise_targets();
  void fill(std::size_t corpus, const JobCallbacks& callbacks);

  double wanted_;
  std::array<Filling, kSampleCorpora> fillings_;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace millrace
