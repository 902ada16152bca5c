#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/messages.h"
#include "cli/console/open_vocabulary.h"
#include "cli/console/precision_option.h"
#include "cli/console/results.h"
#include "cli/console/text_stream.h"
#include "model/optimizer/finite.h"
#include "model/stop.h"
#include "model/transformer/generator.h"
#include "pipeline/json_text.h"
#include "stages/errors.h"
#include "stages/tokenizer/vocabulary.h"
#include "trainer/backend/open_device.h"
#include "trainer/config/train_config.h"
#include "trainer/run/compute_threads.h"
#include "trainer/run/run_folder.h"
#include "trainer/run/vocabulary_check.h"
#include "trainer/weights/mapped_weights.h"
#include "trainer/weights/model_json.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

struct GenerateOptions {
  std::string checkpoint;
  std::string prompt;
  std::string vocabulary;
  int tokens = 64;
  std::string device = "cpu";
  std::string precision = "f32";
  SamplingOptions sampling;
  int threads = 0;
  bool json = false;
};

fs::path vocabulary_of(const GenerateOptions& options) {
  if (!options.vocabulary.empty()) return options.vocabulary;
  fs::path found = vocabulary_beside(options.checkpoint);
  if (found.empty())
    throw ConfigError(
        fmt::format("{}: no vocab.model beside it or in its run folder: name one by --vocab", options.checkpoint));
  return found;
}

void report(const MappedWeights& weights) {
  constexpr double kMegabyte = 1e6;
  say("weights: {:.1f} MB mapped, read as they are used; {:.1f} MB converted in memory",
      static_cast<double>(weights.mapped_bytes()) / kMegabyte,
      static_cast<double>(weights.converted_bytes()) / kMegabyte);
}

/// The text that `ids` add after the prompt: there, unlike at the beginning of a text, a piece's leading blank is kept.
std::string text_behind(std::vector<TokenId> prompt, const std::vector<TokenId>& ids, const Vocabulary& vocabulary) {
  const std::size_t before = vocabulary.decode(prompt).size();
  prompt.insert(prompt.end(), ids.begin(), ids.end());
  return vocabulary.decode(prompt).substr(before);
}

void generate(const GenerateOptions& options) {
  const fs::path checkpoint = options.checkpoint;
  const ModelConfig config = load_model_config(checkpoint);
  const fs::path vocabulary_file = vocabulary_of(options);
  const Vocabulary vocabulary = open_vocabulary(vocabulary_file);
  check_vocabulary_of_checkpoint(config, checkpoint, vocabulary, vocabulary_file);
  set_compute_threads(options.threads);
  require_threads(compute_threads());

  std::vector<TokenId> prompt{vocabulary.pad()};
  vocabulary.encode(options.prompt, prompt);
  const auto length = static_cast<int>(prompt.size());
  const int room = config.max_position_embeddings - length;
  if (room <= 0)
    throw ConfigError(
        fmt::format("--prompt: {} tokens, and one that begins the text: the model has {} positions, which leaves none "
                    "for a new token; shorten the prompt to at most {} tokens",
                    length - 1, config.max_position_embeddings, std::max(0, config.max_position_embeddings - 2)));
  const int count = std::min(options.tokens, room);

  const std::string on = resolved_device(options.device);
  const std::unique_ptr<Device> opened =
      open_device(on, {precision_named(options.precision, "--precision", on)}, "--device");
  Device& device = *opened;
  refuse_what_it_cannot(device, config);
  MappedWeights weights(device, checkpoint, config);
  report(weights);
  Generator generator(device, config, weights.views(), length + count);
  // On a terminal, control characters are escaped; elsewhere the text is written unchanged.
  const bool is_terminal = isatty(STDOUT_FILENO) == 1;
  TextStream text([&](const std::vector<TokenId>& ids) { return vocabulary.decode(ids); },
                  [&](std::string_view more) {
                    if (options.json) return;
                    is_terminal ? print_results(more) : print_raw_results(more);
                    flush_results();
                  });
  text.add({prompt.begin() + 1, prompt.end()});
  std::vector<TokenId> drawn;
  const auto start = std::chrono::steady_clock::now();
  try {
    generator.generate(prompt, count, vocabulary.size(), options.sampling, [&](TokenId id) {
      if (id == vocabulary.eos()) return false;
      drawn.push_back(id);
      text.add({id});
      return !interrupt_requested();
    });
  } catch (const Stopped&) {
    // Tokens sampled so far are shown.
  } catch (const std::domain_error& error) {
    if (!options.json) print_results("\n");  // Ends the line of the prompt.
    flush_results();
    const std::string tensors = not_finite_in(device, weights.views());
    throw std::runtime_error(fmt::format("{}: {}: {}", checkpoint.string(), error.what(),
                                         tensors.empty() ? "its weights are finite, but too large" : tensors));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (options.json) {
    const Json json{{"prompt", options.prompt}, {"ids", drawn}, {"text", text_behind(prompt, drawn, vocabulary)}};
    print_results(json_line(json) + "\n");
  } else {
    text.finish();
    print_results("\n");
  }
  flush_results();
  say("{} tokens in {:.2f} s", drawn.size(), seconds);
  if (static_cast<int>(drawn.size()) == count && count < options.tokens)
    say("{} of the {} tokens asked for: the model's {} positions are full", count, options.tokens,
        config.max_position_embeddings);
  if (interrupt_requested()) throw Interrupted();
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<GenerateOptions>();
  SamplingOptions& sampling = options->sampling;
  const Command command(app, "generate", "Continue a text with a checkpoint's model");
  command.add_option("checkpoint", options->checkpoint, "Checkpoint folder").required();
  command.add_option("--prompt", options->prompt, "Text to continue").required();
  command.add_option("--vocab", options->vocabulary, "Vocabulary; default: vocab.model of the run folder");
  command.add_option("--tokens", options->tokens, "At most this many").whole_number_from(1, kMostInt);
  add_device_option(command, options->device);
  add_precision_option(command, options->precision);
  command.add_option("--temperature", sampling.temperature, "0: always the most likely token").not_negative();
  command.add_option("--top-k", sampling.top_k, "Draw from the k most likely; 0: all").whole_number_from(0, kMostInt);
  command.add_option("--top-p", sampling.top_p, "Draw from the likeliest that sum to p").number_from(0, 1);
  command.add_option("--seed", sampling.seed, "Another seed, another text").whole_number_from(0, kMostWhole);
  command.add_threads_option(options->threads, "Threads", "all cores");
  command.add_flag("--json", options->json, "Print JSON when done");
  command.footer("Example:\n  millrace generate runs/quickstart/checkpoints/step-000256 --prompt \"The file\"");
  command.callback([options] { generate(*options); });
}

}  // namespace millrace
