#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/open_vocabulary.h"
#include "cli/vocabulary_match.h"
#include "model/generator.h"
#include "stages/document_to_tokens.h"
#include "stages/errors.h"
#include "trainer/compute_threads.h"
#include "trainer/config_json.h"
#include "trainer/run_folder.h"
#include "trainer/weights.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

struct GenerateOptions {
  std::string checkpoint;
  std::string prompt;
  std::string vocabulary;
  int tokens = 64;
  SamplingOptions sampling;
  int threads = 0;
  bool json = false;
};

/// Prints a growing sequence of ids as text, holding back what may still change: a character whose bytes have not all
/// come yet.
class TextStream {
 public:
  TextStream(const Vocabulary& vocabulary, std::vector<TokenId> ids) : vocabulary_(vocabulary), ids_(std::move(ids)) {}

  void add(TokenId id) { ids_.push_back(id); }
  void print() {
    static constexpr std::string_view kIncomplete = "\xEF\xBF\xBD";
    const std::string text = vocabulary_.decode(ids_);
    if (!text.starts_with(printed_) || std::string_view(text).ends_with(kIncomplete)) return;
    fmt::print("{}", std::string_view(text).substr(printed_.size()));
    std::fflush(stdout);
    printed_ = text;
  }

 private:
  const Vocabulary& vocabulary_;
  std::vector<TokenId> ids_;
  std::string printed_;
};

fs::path vocabulary_of(const GenerateOptions& options) {
  if (!options.vocabulary.empty()) return options.vocabulary;
  fs::path found = vocabulary_beside(options.checkpoint);
  if (found.empty())
    throw ConfigError(
        fmt::format("{}: no vocab.model beside it or in its run folder: name one by --vocab", options.checkpoint));
  return found;
}

void generate(const GenerateOptions& options) {
  const fs::path checkpoint = options.checkpoint;
  const ModelConfig config = load_model_config(checkpoint);
  const fs::path vocabulary_file = vocabulary_of(options);
  const Vocabulary vocabulary = open_vocabulary(vocabulary_file);
  check_vocabulary_of_checkpoint(config, checkpoint, vocabulary, vocabulary_file);
  set_compute_threads(options.threads);

  std::vector<TokenId> prompt{vocabulary.pad()};
  vocabulary.encode(options.prompt, prompt);
  const auto length = static_cast<int>(prompt.size());
  if (length >= config.max_position_embeddings)
    throw ConfigError(
        fmt::format("the prompt has {} tokens, the model reads at most {}", length, config.max_position_embeddings));
  const int count = std::min(options.tokens, config.max_position_embeddings - length);

  ParameterMemory<float> memory(config, ParameterMemory<float>::Gradients::none);
  load_parameters(checkpoint, memory.views());
  Generator generator(config, memory.views(), length + count);
  TextStream text(vocabulary, {prompt.begin() + 1, prompt.end()});
  std::vector<TokenId> drawn;
  if (!options.json) text.print();
  const auto start = std::chrono::steady_clock::now();
  generator.generate(prompt, count, vocabulary.size(), options.sampling, [&](TokenId id) {
    if (id == vocabulary.eos()) return false;
    drawn.push_back(id);
    text.add(id);
    if (!options.json) text.print();
    return !interrupt_requested();
  });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.json) {
    const nlohmann::ordered_json json{{"prompt", options.prompt}, {"ids", drawn}, {"text", vocabulary.decode(drawn)}};
    fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    fmt::print("\n");
  }
  std::fflush(stdout);
  fmt::print(stderr, "{} tokens in {:.2f} s\n", drawn.size(), seconds);
  if (interrupt_requested()) throw Interrupted();
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<GenerateOptions>();
  SamplingOptions& sampling = options->sampling;
  CLI::App* command = app.add_subcommand("generate", "Continue a text with a checkpoint's model");
  command->add_option("checkpoint", options->checkpoint, "Checkpoint folder")->required();
  command->add_option("--prompt", options->prompt, "Text to continue")->required();
  command->add_option("--vocab", options->vocabulary, "Vocabulary; default: vocab.model of the run folder");
  command->add_option("--tokens", options->tokens, "At most this many")->check(CLI::PositiveNumber);
  command->add_option("--temperature", sampling.temperature, "0: always the most likely token")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-k", sampling.top_k, "Draw from the k most likely; 0: all")->check(CLI::NonNegativeNumber);
  command->add_option("--top-p", sampling.top_p, "Draw from the likeliest that sum to p")->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", sampling.seed, "Another seed, another text");
  command->add_option("--threads", options->threads, "Threads; 0: all cores")->check(CLI::NonNegativeNumber);
  command->add_flag("--json", options->json, "Print JSON when done");
  command->footer("Example:\n  millrace generate runs/quickstart/checkpoints/step-000400 --prompt \"The file\"");
  command->callback([options] { generate(*options); });
}

}  // namespace millrace
