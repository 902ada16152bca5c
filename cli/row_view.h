#pragma once

#include <string>
#include <vector>

#include "pipeline/data_pipeline.h"
#include "pipeline/stream_config.h"
#include "stages/document_to_tokens.h"

namespace millrace {

/// Terminal colours, or nothing.
struct RowStyle {
  const char* heading = "";
  const char* sentinel = "";
  const char* noise = "";   ///< Masked spans, in the targets.
  const char* loss = "";    ///< Where the loss counts.
  const char* border = "";  ///< Between documents.
  const char* plain = "";
};
/// Colours if stdout is a terminal and NO_COLOR is not set.
RowStyle style_of_stdout();

/// What the numbers in a row stand for.
struct RowContext {
  const StreamConfig& config;                    ///< Must outlive the context, as the vocabulary must.
  const Vocabulary* vocabulary = nullptr;        ///< Null: not at hand.
  std::vector<std::string> corpora;              ///< Names.
  std::vector<std::vector<std::string>> shards;  ///< Of each corpus.
};

/// A row for people: of each example where it came from, and its inputs and targets decoded. Documents are parted
/// by a bar where both sides of the border are shown. REQUIRES: context.vocabulary.
std::string row_text(const StreamRow& row, const RowContext& context, const RowStyle& style);
/// A row as one line of JSON; without a vocabulary there are no "spans".
std::string row_json(const StreamRow& row, const RowContext& context);

}  // namespace millrace
