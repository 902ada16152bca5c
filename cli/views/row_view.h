#pragma once

#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/rows/stream_row.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {

/// The names behind the numbers in a row.
struct RowContext {
  const StreamConfig& config;                    ///< Must outlive the context, as the vocabulary must.
  const Vocabulary* vocabulary = nullptr;        ///< Null: not available.
  std::vector<std::string> corpora;              ///< Names.
  std::vector<std::vector<std::string>> shards;  ///< Of each corpus.
};

/// Prints a row. As text: for each example its provenance and its decoded inputs and targets, with a bar between
/// documents if both sides of the border are shown; in colours on a terminal unless NO_COLOR is set. REQUIRES:
/// context.vocabulary. Or as one line of JSON, which has no "spans" without a vocabulary.
void print_row(const StreamRow& row, const RowContext& context, bool json);

}  // namespace millrace
