#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stages/records.h"

namespace millrace {

/// Which versions of libsentencepiece give the ids that Vocabulary::encode gives, ties included: its own encoder's, or,
/// with a reason of slow_because, those of the library that the program was built with. Versions 0.2.2 and 0.2.3 break
/// ties otherwise.
std::string ids_as(const std::string& slow_because);

/// A SentencePiece vocabulary: text to ids and back. Immutable; one object serves every thread.
/// Ids are exactly libsentencepiece's. Adds no bos or eos: rows do that.
class Vocabulary {
 public:
  /// Opens a .model file. Throws ConfigError if it is missing, no SentencePiece model, or lacks pad or eos.
  explicit Vocabulary(const std::filesystem::path& file);
  ~Vocabulary();
  Vocabulary(Vocabulary&&) noexcept;

  /// Appends the ids of `text` to `ids`. Unigram vocabularies go through Millrace's own encoder (unigram_encoder.h),
  /// which keeps up to UnigramEncoder::kCacheBytes of words for each thread, of the vocabulary it last used.
  void encode(std::string_view text, std::vector<TokenId>& ids) const;
  std::vector<TokenId> encode(std::string_view text) const;
  /// Text of `ids`; sentinels appear as <extra_id_j>, pad and eos not at all.
  std::string decode(const std::vector<TokenId>& ids) const;
  /// The piece of an id as a person reads it: "▁the", "<0x0A>", "<extra_id_0>".
  std::string piece(TokenId id) const;

  /// Why encode() uses libsentencepiece, which is about ten times slower: "it is of type bpe, not unigram". Empty: it
  /// does not.
  const std::string& slow_because() const;

  int pieces() const;                    ///< Entries of the .model.
  static constexpr int kExtraIds = 300;  ///< Sentinels appended after the pieces, as seqio does (extra_ids = 300).
  int size() const { return pieces() + kExtraIds; }
  int embedding_rows() const;  ///< size() rounded up to a multiple of 128.
  TokenId pad() const;         ///< Also BOS and filler. From the model file.
  TokenId eos() const;
  /// <extra_id_j> = pieces + extra_ids - 1 - j (seqio's sentinel_id). Never produced by encode().
  TokenId sentinel(int j) const { return size() - 1 - j; }
  /// xxh3_64 of the model file's bytes as 16 hex digits: two runs agree on ids iff they agree on this.
  const std::string& hash() const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace millrace
