#include "pipeline/sample/sample_collector.h"

#include <algorithm>
#include <utility>

#include <xxhash.h>

namespace millrace {
namespace {

constexpr int kRounds = 8;

}  // namespace

SampleCollector::SampleCollector(const std::vector<std::string>& roots, double bytes) : wanted_(bytes) {
  std::vector<std::vector<SampleSource>> sources = find_sample_sources(roots);
  for (std::size_t i = 0; i < kSampleCorpora; ++i) {
    fillings_[i].sources = std::move(sources[i]);
    fillings_[i].target = wanted_ * kSamplePlan[i].share;
  }
}

void SampleCollector::collect(const JobCallbacks& callbacks) {
  for (int round = 0; round < kRounds && missing() > 0; ++round) {
    for (std::size_t i = 0; i < kSampleCorpora; ++i) fill(i, callbacks);
    raise_targets();
  }
}

std::uint64_t SampleCollector::bytes() const {
  std::uint64_t sum = 0;
  for (const Filling& filling : fillings_) sum += filling.bytes;
  return sum;
}

/// Bytes to be found yet; 0 where there is nothing to take them from.
double SampleCollector::missing() const {
  const bool more = std::any_of(fillings_.begin(), fillings_.end(), [](const Filling& f) { return !f.exhausted(); });
  return more ? wanted_ - static_cast<double>(bytes()) : 0;
}

void SampleCollector::raise_targets() {
  double open_share = 0;
  for (std::size_t i = 0; i < kSampleCorpora; ++i) open_share += fillings_[i].exhausted() ? 0 : kSamplePlan[i].share;
  const double more = missing();
  for (std::size_t i = 0; i < kSampleCorpora; ++i) {
    if (!fillings_[i].exhausted()) fillings_[i].target += more * kSamplePlan[i].share / open_share;
  }
}

void SampleCollector::fill(std::size_t corpus, const JobCallbacks& callbacks) {
  Filling& filling = fillings_[corpus];
  std::string text;
  while (static_cast<double>(filling.bytes) < filling.target && !filling.exhausted()) {
    callbacks.leave_if_interrupted();
    SampleSource source = std::move(filling.sources[filling.next++]);
    LeftOut reason = load_sample_text(source, static_cast<SampleCorpus>(corpus), text);
    const bool new_text = reason != LeftOut::none || seen_.insert(XXH3_64bits(text.data(), text.size())).second;
    if (!new_text) reason = LeftOut::duplicate;
    ++left_out[static_cast<std::size_t>(reason)];
    if (reason != LeftOut::none) continue;
    if (source.extension == "h" && looks_like_cpp(text)) {
      source.language = "C++";
      source.folder = "c++";
    }
    filling.bytes += text.size();
    documents[corpus].push_back({std::move(source), text});
    callbacks.progress("reading files", bytes(), static_cast<std::uint64_t>(wanted_), "bytes");
  }
}

}  // namespace millrace
