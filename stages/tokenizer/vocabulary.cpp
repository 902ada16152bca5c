#include "stages/tokenizer/vocabulary.h"

#include <atomic>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "stages/errors.h"
#include "stages/tokenizer/unigram_encoder.h"
#include "stages/tokenizer/vocabulary_file.h"

namespace millrace {
namespace {

constexpr int kRowMultiple = 128;

/// libsentencepiece with a vocabulary: what decodes, and what encodes where our own encoder does not.
class Library {
 public:
  /// Throws std::invalid_argument with the library's reason if it does not take the model.
  explicit Library(const std::string& model) {
    const auto status = processor_.LoadFromSerializedProto(model);
    if (!status.ok()) throw std::invalid_argument(status.ToString());
    for (int id = 0; id < processor_.GetPieceSize() && ordinary_ < 0; ++id) {
      if (processor_.IsControl(id) || processor_.IsUnknown(id) || processor_.IsUnused(id) || processor_.IsByte(id))
        continue;
      ordinary_text_ = decode({id});
      if (!ordinary_text_.empty()) ordinary_ = id;
    }
  }

  std::vector<int> encode(std::string_view text) const {
    std::vector<int> ids;
    const auto status = processor_.Encode(text, &ids);
    if (!status.ok()) throw std::runtime_error("sentencepiece: " + status.ToString());
    return ids;
  }

  std::string decode(const std::vector<int>& ids) const {
    std::string text;
    const auto status = processor_.Decode(ids, &text);
    if (!status.ok()) throw std::runtime_error("sentencepiece: " + status.ToString());
    return text;
  }

  /// Text of ids that follow other ids: keeps a leading blank.
  std::string decode_later(std::vector<int> ids) const {
    if (ordinary_ < 0 || ids.empty()) return decode(ids);
    ids.insert(ids.begin(), ordinary_);
    return decode(ids).substr(ordinary_text_.size());
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
  int ordinary_ = -1;  // An id that decodes to plain text by itself.
  std::string ordinary_text_;
};

/// The memory of this thread for the vocabulary with this number.
UnigramEncoder::Memory& memory_of_thread(const UnigramEncoder& encoder, std::uint64_t number) {
  thread_local std::uint64_t owner = 0;
  thread_local std::optional<UnigramEncoder::Memory> memory;
  if (owner != number) {
    memory.emplace(encoder);
    owner = number;
  }
  return *memory;
}

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

}  // namespace

std::string ids_as(const std::string& slow_because) {
  return slow_because.empty() ? "libsentencepiece 0.1.97 to 0.2.1" : "libsentencepiece " MILLRACE_SENTENCEPIECE_VERSION;
}

struct Vocabulary::Impl {
  explicit Impl(std::string model) : bytes(std::move(model)) {}
  ~Impl() { delete library.load(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// Loaded when first needed: it takes as long as our own encoder, and most runs only encode.
  const Library& loaded_library() const {
    if (const Library* loaded = library.load()) return *loaded;
    auto mine = std::make_unique<Library>(bytes);
    const Library* expected = nullptr;
    if (library.compare_exchange_strong(expected, mine.get())) return *mine.release();
    return *expected;
  }

  std::string bytes;
  VocabularyFile file;  // Views into the bytes.
  std::string hash;
  TokenId pad = 0, eos = 0;
  std::string slow_because;
  std::optional<UnigramEncoder> encoder;
  std::uint64_t number = next_number();
  mutable std::atomic<const Library*> library = nullptr;
};

Vocabulary::Vocabulary(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>(read_vocabulary_bytes(path));
  auto file = read_vocabulary_file(impl->bytes);
  if (!file) throw ConfigError(fmt::format("vocabulary {}: not a SentencePiece model", path.string()));
  for (std::size_t id = 0; id < file->pieces.size(); ++id) {
    if (file->pieces[id].text.find('\0') != std::string_view::npos)  // libsentencepiece ends the program at one.
      throw ConfigError(fmt::format("vocabulary {}: piece {} holds a zero byte, which no SentencePiece model may",
                                    path.string(), id));
  }
  impl->file = *std::move(file);
  impl->hash = vocabulary_hash(impl->bytes);
  impl->slow_because = UnigramEncoder::why_not(impl->file);
  try {
    if (impl->slow_because.empty()) {
      impl->encoder.emplace(impl->file);
    } else {
      (void)impl->loaded_library();
    }
  } catch (const std::invalid_argument& error) {
    throw ConfigError(fmt::format("vocabulary {}: not a SentencePiece model: {}", path.string(), error.what()));
  }
  impl->pad = impl->file.pad();
  impl->eos = impl->file.eos();
  for (const auto& [name, id] : {std::pair("pad", impl->pad), {"eos", impl->eos}}) {
    if (id < 0)
      throw ConfigError(fmt::format("vocabulary {}: it has no {} piece, which rows need", path.string(), name));
  }
  impl_ = std::move(impl);
}

Vocabulary::~Vocabulary() = default;
Vocabulary::Vocabulary(Vocabulary&&) noexcept = default;

void Vocabulary::encode(std::string_view text, std::vector<TokenId>& ids) const {
  if (impl_->encoder) {
    impl_->encoder->encode(text, memory_of_thread(*impl_->encoder, impl_->number), ids);
  } else {
    const std::vector<int> encoded = impl_->loaded_library().encode(text);
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  }
}

std::vector<TokenId> Vocabulary::encode(std::string_view text) const {
  std::vector<TokenId> ids;
  encode(text, ids);
  return ids;
}

std::string Vocabulary::decode(const std::vector<TokenId>& ids) const {
  const Library& library = impl_->loaded_library();
  std::string text;
  std::vector<int> run;
  bool first = true;
  const auto end_run = [&] {
    text += first ? library.decode(run) : library.decode_later(run);
    first = first && run.empty();
    run.clear();
  };
  for (const TokenId id : ids) {
    if (id == pad() || id == eos()) continue;
    if (id < pieces()) {
      run.push_back(id);
      continue;
    }
    end_run();
    text += piece(id);
    first = false;
  }
  end_run();
  return text;
}

std::string Vocabulary::piece(TokenId id) const {
  if (id < 0) throw std::out_of_range(fmt::format("there is no piece {}", id));
  if (id < pieces()) return std::string(impl_->file.pieces[static_cast<std::size_t>(id)].text);
  // Rows behind the sentinels only fill the embedding up.
  return id < size() ? fmt::format("<extra_id_{}>", size() - 1 - id) : fmt::format("<unused_{}>", id);
}

const std::string& Vocabulary::slow_because() const {
  return impl_->slow_because;
}
int Vocabulary::pieces() const {
  return static_cast<int>(impl_->file.pieces.size());
}
int Vocabulary::embedding_rows() const {
  return (size() + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
}
TokenId Vocabulary::pad() const {
  return impl_->pad;
}
TokenId Vocabulary::eos() const {
  return impl_->eos;
}
const std::string& Vocabulary::hash() const {
  return impl_->hash;
}

}  // namespace millrace
