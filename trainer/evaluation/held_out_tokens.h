#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "stages/records.h"

namespace millrace {

/// The held-out text of one corpus as a model sees it: the ids of its documents, concatenated, each document followed
/// by eos.
struct HeldOutTokens {
  std::string corpus;
  std::vector<TokenId> ids;
  std::uint64_t documents = 0;
  std::uint64_t text_bytes = 0;  ///< UTF-8 bytes of the documents, for bits per byte.

  bool operator==(const HeldOutTokens&) const = default;
};

/// Appends one document, followed by eos unless the document is cut off.
enum class DocumentPart : std::uint8_t { whole, beginning };
void append_document(HeldOutTokens& corpus, const std::vector<TokenId>& document, DocumentPart part, TokenId eos);

/// The file that stores them in a run folder: safetensors, one I32 tensor per corpus, named "0000 CORPUS", "0001
/// CORPUS" to keep their order; counts and the vocabulary's hash are metadata.
void save_held_out(const std::filesystem::path& file, const std::vector<HeldOutTokens>& corpora,
                   const std::string& vocabulary_hash);
/// Throws ConfigError if the file is damaged or was made with another vocabulary.
std::vector<HeldOutTokens> load_held_out(const std::filesystem::path& file, const std::string& vocabulary_hash);

}  // namespace millrace
