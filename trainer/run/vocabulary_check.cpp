#include "trainer/run/vocabulary_check.h"

#include <fmt/format.h>

#include "stages/errors.h"
#include "trainer/checkpoint/checkpoint.h"

namespace millrace {

void check_vocabulary_size(const ModelConfig& model, const std::string& model_from, const Vocabulary& vocabulary,
                           const std::filesystem::path& vocabulary_file) {
  if (model.vocab_size == vocabulary.embedding_rows()) return;
  throw ConfigError(
      fmt::format("{}: vocab_size is {}, but the vocabulary {} needs {} ({} pieces and {} sentinels, rounded "
                  "up to a multiple of 128)",
                  model_from, model.vocab_size, vocabulary_file.string(), vocabulary.embedding_rows(),
                  vocabulary.pieces(), Vocabulary::kExtraIds));
}

void check_vocabulary_of_checkpoint(const ModelConfig& model, const std::filesystem::path& checkpoint,
                                    const Vocabulary& vocabulary, const std::filesystem::path& vocabulary_file) {
  check_vocabulary_size(model, (checkpoint / "config.json").string(), vocabulary, vocabulary_file);
  const std::optional<RunIdentity> identity = load_identity(checkpoint);
  if (!identity || identity->vocabulary_hash == vocabulary.hash()) return;
  throw ConfigError(fmt::format("{}: trained with another vocabulary (hash {}) than {} (hash {})", checkpoint.string(),
                                identity->vocabulary_hash, vocabulary_file.string(), vocabulary.hash()));
}

}  // namespace millrace
