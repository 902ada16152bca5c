#pragma once

#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/rows/stream_row.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// What the numbers in a row stand for.
struct RowContext {
  const StreamConfig& config;                    ///< Must outlive the context, as the vocabulary must.
  const Vocabulary* vocabulary = nullptr;        ///< Null: not at hand.
  std::vector<std::string> corpora;              ///< Names.
  std::vector<std::vector<std::string>> shards;  ///< Of each corpus.
};

/// Prints a row. For people: of each example where it came from, and its inputs and targets decoded, documents parted
/// by a bar where both sides of the border are shown; in colours on a terminal where NO_COLOR is not set. REQUIRES:
/// context.vocabulary. Or as one line of JSON; without a vocabulary that has no "spans".
void print_row(const StreamRow& row, const RowContext& context, bool json);

}  // namespace millrace
