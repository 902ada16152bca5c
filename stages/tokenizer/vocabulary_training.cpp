#include "stages/tokenizer/vocabulary_training.h"

#include <unordered_map>

#include <fmt/format.h>
#include <sentencepiece_trainer.h>

#include "stages/errors.h"

namespace millrace {
namespace {

constexpr const char* kMarks =
    "[eod],[web],[wiki],[translate],[convo],[fc],[ffc],[code],[book],[c4],[news],[forum],[eot]";
constexpr unsigned kSeed = 1;

class Lines final : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return next_ == lines_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return lines_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  std::size_t next_ = 0;
};

/// The longest beginning of `line` that may stand alone: up to a blank if there is one, never inside a character.
std::size_t first_cut(std::string_view line) {
  const std::size_t blank = line.rfind(' ', kLongestTrainingLine - 1);
  if (blank != std::string_view::npos && blank > 0) return blank;
  std::size_t cut = kLongestTrainingLine;
  while (cut > 1 && (static_cast<unsigned char>(line[cut]) & 0xC0) == 0x80) --cut;
  return cut;
}

}  // namespace

void cut_into_lines(std::string_view document, std::vector<std::string>& lines) {
  while (!document.empty()) {
    const std::size_t newline = document.find('\n');
    std::string_view line = document.substr(0, newline);
    document = newline == std::string_view::npos ? std::string_view() : document.substr(newline + 1);
    while (line.size() > kLongestTrainingLine) {
      const std::size_t cut = first_cut(line);
      lines.emplace_back(line.substr(0, cut));
      line = line.substr(cut);
    }
    if (!line.empty()) lines.emplace_back(line);
  }
}

std::string train_vocabulary(const std::vector<std::string>& lines, int pieces) {
  if (lines.empty()) throw ConfigError("there is no text to train a vocabulary on");
  const std::unordered_map<std::string, std::string> settings = {
      {"model_type", "unigram"},
      {"vocab_size", std::to_string(pieces)},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "true"},
      {"remove_extra_whitespaces", "false"},
      {"split_digits", "true"},
      {"byte_fallback", "true"},
      {"pad_id", "0"},
      {"eos_id", "1"},
      {"bos_id", "2"},
      {"unk_id", "3"},
      {"user_defined_symbols", kMarks},
      {"max_sentence_length", std::to_string(kLongestTrainingLine)},
      {"shuffle_input_sentence", "false"},
      {"num_threads", "4"},  // Sums are taken per thread: another number, other last digits.
      {"minloglevel", "2"},
  };
  sentencepiece::SetRandomGeneratorSeed(kSeed);
  Lines iterator(lines);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &iterator, &model);
  if (!status.ok()) {
    throw ConfigError(fmt::format("cannot train a vocabulary of {} pieces: {}", pieces, status.ToString()));
  }
  return model;
}

}  // namespace millrace
