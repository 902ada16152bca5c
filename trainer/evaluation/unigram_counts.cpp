#include "trainer/evaluation/unigram_counts.h"

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <utility>

namespace millrace {

UnigramCounts::UnigramCounts(int vocab_size) : counts_(static_cast<std::size_t>(vocab_size)) {}

void UnigramCounts::add(const Row& row) {
  for (std::size_t i = 0; i < row.labels.size(); ++i) {
    if (row.loss_weights[i] == 0) continue;
    ++counts_.at(static_cast<std::size_t>(row.labels[i]));
    ++total_;
  }
}

double UnigramCounts::loss(TokenId id) const {
  const auto count = static_cast<double>(counts_.at(static_cast<std::size_t>(id)));
  return std::log(static_cast<double>(total_) + static_cast<double>(counts_.size())) - std::log(count + 1);
}

void UnigramCounts::set_counts(std::vector<std::int64_t> counts) {
  if (counts.size() != counts_.size()) throw std::logic_error("UnigramCounts: counts of another vocabulary");
  counts_ = std::move(counts);
  total_ = 0;
  for (const std::int64_t count : counts_) total_ += count;
}

}  // namespace millrace
