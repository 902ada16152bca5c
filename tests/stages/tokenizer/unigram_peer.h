#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <sentencepiece_processor.h>

#include "stages/tokenizer/unigram_encoder.h"

namespace millrace {

/// A vocabulary loaded by our encoder and by libsentencepiece.
class UnigramPeer {
 public:
  /// Throws if either refuses it.
  explicit UnigramPeer(std::string model, std::size_t cache_bytes = UnigramEncoder::kCacheBytes)
      : bytes_(std::move(model)),
        file_(read_vocabulary_file(bytes_).value()),
        encoder_(checked(file_)),
        memory_(encoder_, cache_bytes) {
    const auto status = library_.LoadFromSerializedProto(bytes_);
    if (!status.ok()) throw std::runtime_error(status.ToString());
  }

  /// Earlier texts stay in the caches.
  std::vector<TokenId> ours(std::string_view text) {
    std::vector<TokenId> ids;
    encoder_.encode(text, memory_, ids);
    return ids;
  }
  std::vector<TokenId> theirs(std::string_view text) const {
    std::vector<int> ids;
    const auto status = library_.Encode(text, &ids);
    if (!status.ok()) throw std::runtime_error(status.ToString());
    return ids;
  }
  const UnigramEncoder& encoder() const { return encoder_; }

 private:
  static const VocabularyFile& checked(const VocabularyFile& file) {
    const std::string why_not = UnigramEncoder::why_not(file);
    if (!why_not.empty()) throw std::runtime_error(why_not);
    return file;
  }

  std::string bytes_;
  VocabularyFile file_;
  UnigramEncoder encoder_;
  UnigramEncoder::Memory memory_;
  sentencepiece::SentencePieceProcessor library_;
};

}  // namespace millrace
