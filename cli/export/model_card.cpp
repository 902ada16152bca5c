#include "cli/export/model_card.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/console/progress.h"
#include "model/cost/activated_parameters.h"
#include "pipeline/config/mix_file.h"
#include "pipeline/corpora/corpus_set.h"
#include "stages/errors.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/config/run_config.h"
#include "trainer/run/run_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHead = R"(---
library_name: transformers
pipeline_tag: text-generation
tags:
- mixture-of-experts
- openmoe
---

)";

constexpr const char* kUseWithTokenizer = R"(## Use

```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(FOLDER, trust_remote_code=True)
ids = torch.tensor([[model.config.bos_token_id] + tokenizer.encode("The mill")])
print(tokenizer.decode(model.generate(ids, max_new_tokens=32, do_sample=False)[0], skip_special_tokens=True))
```

A text begins with id 0 (`bos_token_id`), which the tokenizer does not put there.
)";

constexpr const char* kUse = R"(## Use

```python
import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)
print(model(torch.tensor([[0, 17, 18]])).logits)
```

A text begins with id 0 (`bos_token_id`).
)";

constexpr const char* kCapacity = R"(
**A row's scores depend on its batch.** An expert takes a limited number of the tokens that are given to it at once, of
all rows together; what is beyond is dropped. Compare scores of one row a batch. A text that is fed token by token can
have other scores than one that is fed at once. `capacity_rule = "dropless"` in config.json drops nothing, and is another
function than the one that was trained.

)";

/// The run whose folder the checkpoint lies in; none: it lies somewhere else.
std::optional<RunConfig> run_above(const fs::path& checkpoint) {
  const fs::path folder = fs::weakly_canonical(checkpoint).parent_path().parent_path();
  if (!holds_run(folder)) return std::nullopt;
  return load_run({.run = folder.string(), .data = "", .sets = {}});
}

/// A text in a cell of a table.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find_first_of("|\\", at)) != text.npos; at += 2) text.insert(at, 1, '\\');
  std::ranges::replace(text, '\n', ' ');
  return text;
}

/// `corpora`: of the run; none are known where the checkpoint lies elsewhere.
std::string ledger_table(const Ledger& ledger, const std::vector<RunCorpus>& corpora) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, Ledger::Entry> sums;
  std::map<std::uint32_t, std::uint64_t> phase_tokens;
  for (const auto& [key, entry] : ledger.entries()) {
    Ledger::Entry& sum = sums[{key.phase, key.corpus}];
    sum.documents += entry.documents;
    sum.raw_tokens += entry.raw_tokens;
    sum.loss_tokens += entry.loss_tokens;
    phase_tokens[key.phase] += entry.raw_tokens;
  }
  std::string table =
      "| phase | corpus | share | documents | tokens | of them with loss | licence |\n"
      "| ---: | --- | ---: | ---: | ---: | ---: | --- |\n";
  for (const auto& [key, sum] : sums) {
    const Corpus* corpus = key.second < corpora.size() ? &corpora[key.second].corpus : nullptr;
    const bool has_license = corpus != nullptr && !corpus->license.empty();
    table +=
        fmt::format("| {} | {} | {:.2f} % | {} | {} | {} | {} |\n", key.first + 1,
                    corpus != nullptr ? corpus->name : fmt::format("number {}", key.second + 1),
                    100.0 * static_cast<double>(sum.raw_tokens) /
                        static_cast<double>(std::max<std::uint64_t>(phase_tokens[key.first], 1)),
                    sum.documents, sum.raw_tokens, sum.loss_tokens, has_license ? cell(corpus->license) : "not stated");
  }
  return table;
}

std::string training(const TrainState& state, const std::optional<RunConfig>& run) {
  std::vector<RunCorpus> corpora;
  if (run) corpora = corpora_of(run->stream, FindShards::no);
  std::string text = fmt::format("## What it was trained on\n\n{}{} steps, {} rows, {} positions.\n\n",
                                 run ? fmt::format("Run `{}`, ", run->stream.name) : "", state.step,
                                 state.ledger.rows(), state.ledger.positions());
  text += ledger_table(state.ledger, corpora);
  text +=
      "\nThe share is of the phase's tokens. A licence is what whoever wrote the mix says of the corpus's text: "
      "Millrace "
      "looks at none.\n";
  if (!run) return text;
  for (std::size_t phase = 0; phase < run->stream.phases.size(); ++phase) {
    const Phase& of = run->stream.phases[phase];
    text += fmt::format("\nPhase {}, to position {}, objective `{}`, mix:\n\n```toml\n{}```\n", phase + 1, of.until,
                        of.objective.name, to_toml(of.mix));
  }
  return text;
}

}  // namespace

std::string model_card(const fs::path& checkpoint, const ModelConfig& config, bool has_tokenizer) {
  const ParameterCounts counts = parameter_counts(config);
  std::string text = kHead;
  text += fmt::format(
      "# OpenMoE, {} parameters\n\nA mixture-of-experts language model ([arXiv "
      "2402.01739](https://arxiv.org/abs/2402.01739)), trained and exported by Millrace: {} layers, {} of them with {} "
      "experts, of which each token is sent to {}; hidden size {}, {} heads of {}, {} positions; {} parameters, of "
      "which a "
      "token uses {}.\n\n",
      human_count(static_cast<double>(counts.all())), config.num_hidden_layers,
      config.num_hidden_layers / config.moe_layer_interval, config.num_experts, config.router_topk, config.hidden_size,
      config.num_attention_heads, config.head_dim, config.max_position_embeddings, counts.all(), counts.activated());
  text += has_tokenizer ? kUseWithTokenizer : kUse;
  text += kCapacity;
  if (const std::optional<TrainState> state = load_train_state(checkpoint))
    text += training(*state, run_above(checkpoint));
  return text;
}

}  // namespace millrace
