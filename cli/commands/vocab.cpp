#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>

#include <fmt/format.h>

#include "cli/commands/commands.h"
#include "cli/console/command.h"
#include "cli/console/interrupt.h"
#include "cli/console/job_progress.h"
#include "cli/console/messages.h"
#include "cli/console/progress.h"
#include "cli/console/results.h"
#include "cli/views/vocabulary_view.h"
#include "pipeline/corpora/foreign_shards.h"
#include "pipeline/corpora/vocabulary_text.h"
#include "pipeline/formats/hugging_face_tokenizer.h"
#include "stages/errors.h"
#include "stages/io/disk.h"
#include "stages/io/output_file.h"
#include "stages/listing/shard_list.h"
#include "stages/tokenizer/vocabulary.h"
#include "stages/tokenizer/vocabulary_file.h"
#include "stages/tokenizer/vocabulary_training.h"

namespace millrace {
namespace {

constexpr double kDefaultTextMegabytes = 8;

constexpr std::uint64_t kMostPieces = 1 << 28;
constexpr double kFewestTextMegabytes = 1e-6;
constexpr double kMostTextMegabytes = 1e12;

struct TrainArguments {
  std::vector<std::string> shards;
  int size = 8192;
  std::string out;
  double megabytes = kDefaultTextMegabytes;
};

/// libsentencepiece cannot be interrupted. It writes nothing while it works, so ending the process is safe.
std::string train_until_interrupted(const std::vector<std::string>& lines, int pieces) {
  auto training = std::async(std::launch::async, [&lines, pieces] { return train_vocabulary(lines, pieces); });
  while (training.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (interrupt_requested()) std::_Exit(kInterruptedExit);
  }
  return training.get();
}

void train(const TrainArguments& arguments) {
  const std::vector<std::string> shards = list_shards(arguments.shards, "").names;
  refuse_foreign(shards, "");
  const std::filesystem::path out = through_links(arguments.out);
  make_folder(out.parent_path());
  require_writable(out, OutputKind::file);
  JobProgress progress;
  const TrainingText text =
      choose_training_text(shards, static_cast<std::uint64_t>(arguments.megabytes * 1e6), progress.callbacks());
  progress.finish();
  if (text.rejects > 0) say("left out {} records that cannot be read", text.rejects);
  say("training {} pieces on {} of {} read from {} shards", arguments.size,
      human_bytes(static_cast<double>(text.bytes)), human_bytes(static_cast<double>(text.read_bytes)), shards.size());
  const auto start = std::chrono::steady_clock::now();
  write_output(out, OutputKind::file, train_until_interrupted(text.lines, arguments.size), interrupt_requested);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const Vocabulary vocabulary(out);
  print_results(fmt::format("{}: {} pieces, {} with sentinels, hash {}, trained in {:.0f} s\n", arguments.out,
                            vocabulary.pieces(), vocabulary.size(), vocabulary.hash(), took.count()));
}

void add_vocab_train(CLI::App& vocab) {
  auto arguments = std::make_shared<TrainArguments>();
  const Command command(vocab, "train", "Train a SentencePiece vocabulary with umT5's own settings");
  command.add_option("--shards", arguments->shards, "Shards: files, folders, globs, @lists").required();
  command.add_option("--size", arguments->size, "Pieces: bytes, marks and special pieces (273 of them) count")
      .whole_number_from(1, kMostPieces);
  command.add_option("--out", arguments->out, "The .model file").required();
  command.add_option("--megabytes", arguments->megabytes, "Text to train on, in millions of bytes")
      .number_from(kFewestTextMegabytes, kMostTextMegabytes);
  command.footer(
      "The text is taken evenly from the shards. The same shards give the same bytes. Training time grows with the\n"
      "text: about a minute for the default on two cores.\n\n"
      "Example:\n  millrace vocab train --shards data/sample --size 8192 --out data/vocab.model");
  command.callback([arguments] { train(*arguments); });
}

struct ExportArguments {
  std::string file;
  std::string format;
  std::string folder;
};

void export_vocabulary(const ExportArguments& arguments) {
  const HuggingFaceTokenizer tokenizer =
      hugging_face_tokenizer(read_vocabulary_bytes(arguments.file), arguments.file, 0);
  if (tokenizer.within_reach > 0)
    say("text that spells one of {} special pieces (like </s>) becomes it there: some of its characters are no pieces",
        tokenizer.within_reach);
  make_folder(arguments.folder);
  write_hugging_face_tokenizer(tokenizer, arguments.folder);
  print_results(fmt::format("{}: tokenizer.json, tokenizer_config.json of {}\n", arguments.folder, arguments.file));
}

void add_vocab_export(CLI::App& vocab) {
  auto arguments = std::make_shared<ExportArguments>();
  const Command command(vocab, "export", "Write a vocabulary as another program's files");
  command.add_option("FILE", arguments->file, "A SentencePiece .model file").required();
  command.add_option("FOLDER", arguments->folder, "Where the files go; it is made if it is not there").required();
  command.add_option("--to", arguments->format, "hf: what Hugging Face's AutoTokenizer opens")
      .required()
      .one_of({"hf"});
  command.footer(
      "Texts get the same ids but where two segmentations are nearly equally likely (sums in f64 in place of f32);\n"
      "decoding is the same. Nothing is put before a text: OpenMoE's begin with the id of bos_token.\n\n"
      "Example:\n  millrace vocab export data/vocab.model --to hf data/tokenizer");
  command.callback([arguments] { export_vocabulary(*arguments); });
}

}  // namespace

void add_vocab(CLI::App& app) {
  const Command vocab(app, "vocab", "Train a vocabulary, show what one is, or export it");
  vocab.require_subcommand();
  vocab.footer("Example:\n  millrace vocab show data/vocab.model");
  add_vocab_train(vocab.app());
  add_vocab_export(vocab.app());
  auto file = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  const Command command(vocab.app(), "show", "Kind, size, special ids and settings of a vocabulary");
  command.add_option("FILE", *file, "A SentencePiece .model file").required();
  command.add_flag("--json", *json, "Print one JSON object");
  command.footer("Example:\n  millrace vocab show data/vocab.model");
  command.callback([file, json] { show_vocabulary(*file, *json); });
}

}  // namespace millrace
