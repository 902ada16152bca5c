#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <sentencepiece_trainer.h>

#include "stages/tokenizer/vocabulary.h"
#include "tests/temporary_folder.h"

namespace millrace {

inline constexpr const char* kTinyWords[] = {"river", "mill",   "stone", "wheel", "grain", "flour", "water", "bread",
                                             "race",  "sluice", "weir",  "pond",  "the",   "of",    "turns", "grinds"};

/// Text made of kTinyWords, different for each number.
inline std::string tiny_text(std::uint64_t number, int words) {
  std::string text;
  std::uint64_t state = number * 0x9E3779B97F4A7C15 + 1;
  for (int i = 0; i < words; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    text += (i > 0 ? " " : "") + std::string(kTinyWords[(state >> 33) % std::size(kTinyWords)]);
  }
  return text;
}

/// Writes a SentencePiece model of about 300 pieces, with byte pieces, to `file`.
inline void write_tiny_model(const std::filesystem::path& file, const std::string& normalization = "identity") {
  class Sentences : public sentencepiece::SentenceIterator {
   public:
    bool done() const override { return next_ >= 400; }
    void Next() override { value_ = tiny_text(++next_, 12); }
    const std::string& value() const override { return value_; }
    sentencepiece::util::Status status() const override { return {}; }

   private:
    std::uint64_t next_ = 0;
    std::string value_ = tiny_text(0, 12);
  };
  Sentences sentences;
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      "--model_type=unigram --vocab_size=310 --hard_vocab_limit=false --byte_fallback=true --pad_id=0 --eos_id=1 "
      "--bos_id=2 --unk_id=3 --remove_extra_whitespaces=false --num_threads=1 "
      "--minloglevel=2 --normalization_rule_name=" +
          normalization,
      &sentences, &model);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  std::ofstream(file, std::ios::binary) << model;
}

/// One vocabulary for a whole test program.
inline const Vocabulary& tiny_vocabulary() {
  static const TemporaryFolder folder;
  static const Vocabulary vocabulary = [] {
    write_tiny_model(folder.path() / "tiny.model");
    return Vocabulary(folder.path() / "tiny.model");
  }();
  return vocabulary;
}

}  // namespace millrace
