#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/formats/staged_folder.h"
#include "pipeline/formats/token_file.h"
#include "stages/records.h"

namespace millrace {

/// A document as exported for other trainers.
struct TokenDocument {
  std::vector<TokenId> tokens;  ///< Its ids, and eos.
  std::string id;               ///< By the record's layout; empty if it has none.
  RecordLocation where;         ///< `shard` as in RunCorpus::shards.
};

/// Writes one corpus's documents in a format. Continues at the end of the staged files: it has no other state. One
/// thread.
class DocumentWriter {
 public:
  virtual ~DocumentWriter() = default;
  virtual void add(const TokenDocument& document) = 0;
  /// Completes the corpus's files. Call once, last.
  virtual void finish() = 0;
};

/// What writing a corpus needs to know.
struct DocumentFiles {
  std::string corpus;
  IdType id_type = IdType::i32;
  std::string tokenizer;                  ///< Its file's name, for formats that name one.
  std::uint64_t part_bytes = 1ull << 30;  ///< For formats in parts: the longest part, unless one document is longer.
};

/// What a corpus's files should hold.
struct WrittenCorpus {
  std::string corpus;
  std::uint64_t documents = 0;
  std::uint64_t tokens = 0;  ///< With each document's eos.
};

/// A file and what is wrong with it.
struct Damage {
  std::string file;
  std::string what;
};

/// A format that holds documents.
struct DocumentFormat {
  const char* name;
  IdType (*id_type)(std::uint64_t vocabulary_size);
  std::unique_ptr<DocumentWriter> (*writer)(StagedFolder& folder, const DocumentFiles& files);
  /// Checks a corpus's files in `folder` against each other, the rules and what was written.
  std::vector<Damage> (*check)(const std::filesystem::path& folder, const WrittenCorpus& corpus, const IdRules& rules);
  std::uint64_t part_bytes = 0;   ///< The longest part where nobody asks for another; 0: it has no parts.
  bool holds_record_ids = false;  ///< Its writer needs TokenDocument::id.
};

}  // namespace millrace
