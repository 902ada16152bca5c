#include "pipeline/config/described_keys.h"

#include <cstdint>

#include "pipeline/config/mix_file.h"
#include "pipeline/config/objective_file.h"

namespace millrace {
namespace {

KeyRule share_of(const char* what) {
  return {.name = "share",
          .range = NumberRange{.most = 100, .least_excluded = true},
          .unit = "per cent",
          .meaning = std::string(what) + "; a multiple of a billionth of the whole",
          .required = true,
          .alters = Alters::rows};
}

std::vector<KeyRule> corpus_keys() {
  return {
      {.name = "name",
       .range = Text{},
       .meaning = "letters and digits, behind the first also `. _ + -`, at most 237 bytes",
       .required = true,
       .alters = Alters::rows},
      {.name = "kind",
       .range = Choices{{"text", "code"}},
       .meaning = "what `mix check` and `mix plan` add up",
       .fallback = "`\"text\"`",
       .alters = Alters::nothing},
      {.name = "license",
       .range = Text{},
       .meaning = "of its text, in your words or as an SPDX name; the card of an exported model has it",
       .fallback = "not stated",
       .alters = Alters::nothing},
      share_of("of the raw tokens of the mix, or of the group that it stands in"),
      {.name = "shards",
       .range = Texts{},
       .meaning = "files, folders, globs and @lists, relative to the data directory: [shards.md](shards.md)",
       .required = true,
       .alters = Alters::rows},
      {.name = "layout",
       .range = Text{},
       .meaning = "where a record has its text: [shards.md](shards.md)",
       .fallback = "told by each shard's content",
       .alters = Alters::rows},
      {.name = "text_field",
       .range = Text{},
       .meaning = "the dotted path of the text, for layout `\"custom\"`",
       .fallback = "the layout's",
       .alters = Alters::rows},
      {.name = "keep",
       .range = Tables{},
       .meaning = "fields and the values that they must have, as in `{lang = [\"en\"]}`",
       .alters = Alters::rows},
      {.name = "drop",
       .range = Tables{},
       .meaning = "fields and the values that they may not have",
       .alters = Alters::rows},
      {.name = "where", .range = Text{}, .meaning = "a condition on a record's fields, in SQL", .alters = Alters::rows},
      {.name = "max_epochs",
       .range = NumberRange{.most = 1e9},
       .unit = "epochs",
       .meaning = "most that are read; a fraction takes that part of the documents of the last one; 0: no limit",
       .fallback = "0",
       .alters = Alters::rows},
      {.name = "at_end",
       .range = Choices{{"repeat", "redistribute", "stop"}},
       .meaning =
           "what happens behind `max_epochs`: the others take the share, or the stream ends. `\"repeat\"` without",
       .fallback = "`\"redistribute\"`; without `max_epochs` `\"repeat\"`",
       .alters = Alters::rows},
  };
}

std::vector<KeyRule> denoiser_keys() {
  const char* kSpan = "kind = \"span\"";
  return {
      {.name = "name", .range = Text{}, .meaning = "one denoiser's only", .required = true, .alters = Alters::rows},
      {.name = "kind",
       .range = Choices{{kDenoiserKinds.begin(), kDenoiserKinds.end()}},
       .meaning = "[what is read and what is predicted](objectives.md#denoisers)",
       .fallback = "`\"span\"`",
       .alters = Alters::rows},
      share_of("of the examples"),
      {.name = "mean_span",
       .range = kMeanSpans,
       .unit = "tokens",
       .meaning = "mean length of a noise span",
       .needs = kSpan,
       .required = true,
       .alters = Alters::rows},
      {.name = "mask_ratio",
       .range = kMaskRatios,
       .unit = "part",
       .meaning = "of the raw tokens that is noise",
       .needs = kSpan,
       .required = true,
       .alters = Alters::rows},
      {.name = "prompt",
       .range = Text{},
       .meaning = "ordinary text in front of the inputs; `\"causal\"` has none",
       .alters = Alters::rows},
  };
}

KeyRule length_of(const char* name, const char* what) {
  return {.name = name,
          .range = WholeRange{2, kLongestRow},
          .unit = "positions",
          .meaning = what,
          .needs = "layout = \"openmoe\"",
          .required = true,
          .alters = Alters::rows};
}

}  // namespace

std::vector<DescribedTable> mix_file_tables() {
  const KeyRule normalize{.name = "normalize",
                          .meaning = "shares need not sum to 100: they are scaled up or down to it",
                          .fallback = "`false`",
                          .alters = Alters::rows};
  return {{"",
           {{.name = "name", .range = Text{}, .meaning = "for people", .required = true, .alters = Alters::nothing},
            {.name = "extend",
             .range = Path{},
             .meaning = "a mix whose corpora this one begins with",
             .alters = Alters::rows},
            {.name = "remove",
             .range = Texts{},
             .meaning = "corpora and groups of the extended mix that are left out",
             .alters = Alters::rows},
            normalize,
            {.name = "corpus", .range = Tables{}, .meaning = "`[[corpus]]`: below", .alters = Alters::rows},
            {.name = "group", .range = Tables{}, .meaning = "`[[group]]`: below", .alters = Alters::rows}}},
          {"[[corpus]]", corpus_keys()},
          {"[[group]]",
           {{.name = "name",
             .range = Text{},
             .meaning = "what `remove` takes",
             .required = true,
             .alters = Alters::nothing},
            share_of("of the raw tokens of the mix, or of the group around it"),
            normalize,
            {.name = "corpus", .range = Tables{}, .meaning = "`[[group.corpus]]`", .alters = Alters::rows},
            {.name = "group", .range = Tables{}, .meaning = "`[[group.group]]`", .alters = Alters::rows}}}};
}

std::vector<DescribedTable> objective_file_tables() {
  return {{"",
           {{.name = "name",
             .range = Text{},
             .meaning = "its evaluations are told by it; `\"causal\"` only where all denoisers are",
             .fallback = "the file's name",
             .alters = Alters::nothing},
            {.name = "layout",
             .range = Choices{{"full", "openmoe"}},
             .meaning = "[how examples fill rows](objectives.md#two-layouts)",
             .fallback = "`\"full\"`",
             .alters = Alters::rows},
            length_of("inputs", "most of an example's inputs, eos counted; not where all denoisers are causal"),
            length_of("targets", "most of an example's targets, eos counted"),
            {.name = "separator",
             .range = Choices{{"none", "eos"}},
             .meaning = "behind each document",
             .fallback = "`\"eos\"` where all denoisers are causal, else `\"none\"`",
             .alters = Alters::rows},
            {.name = "attention",
             .range = Choices{{"packed", "document"}},
             .meaning = "how far back a position sees; `\"document\"` where all denoisers are causal",
             .fallback = "`\"packed\"`",
             .alters = Alters::rows},
            {.name = "max_document_tokens",
             .range = WholeRange{},
             .unit = "tokens",
             .meaning = "of a longer document one chunk is read; 0: no limit. The same in all phases",
             .fallback = "0",
             .alters = Alters::rows},
            {.name = "denoiser",
             .range = Tables{},
             .meaning = "`[[denoiser]]`: below",
             .required = true,
             .alters = Alters::rows}}},
          {"[[denoiser]]", denoiser_keys()}};
}

}  // namespace millrace
