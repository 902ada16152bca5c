#include "stages/document_to_tokens.h"

#include <cerrno>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <xxhash.h>

#include "stages/errors.h"
#include "stages/input_file.h"
#include "stages/vocabulary_facts.h"

namespace millrace {
namespace {

constexpr int kRowMultiple = 128;

std::string read_whole(const std::filesystem::path& path) {
  try {
    InputFile file(path.string());
    std::string bytes(file.size(), '\0');
    bytes.resize(file.read_at(0, bytes.data(), bytes.size()));
    return bytes;
  } catch (const std::system_error& error) {
    throw ConfigError(fmt::format("vocabulary {}: {}", path.string(), error.code().message()));
  }
}

}  // namespace

struct Vocabulary::Impl {
  sentencepiece::SentencePieceProcessor processor;
  std::string hash;
  int pieces = 0;
  int ordinary = -1;  // An id that decodes to plain text by itself.
  std::string ordinary_text;

  std::string decode_run(const std::vector<int>& ids) const {
    std::string text;
    const auto status = processor.Decode(ids, &text);
    if (!status.ok()) throw std::runtime_error("sentencepiece: " + status.ToString());
    return text;
  }

  /// Text of ids that stand behind something else: a blank at their beginning is kept.
  std::string decode_later_run(std::vector<int> ids) const {
    if (ordinary < 0 || ids.empty()) return decode_run(ids);
    ids.insert(ids.begin(), ordinary);
    return decode_run(ids).substr(ordinary_text.size());
  }

  void find_ordinary_piece() {
    for (int id = 0; id < pieces && ordinary < 0; ++id) {
      if (processor.IsControl(id) || processor.IsUnknown(id) || processor.IsUnused(id) || processor.IsByte(id))
        continue;
      ordinary_text = decode_run({id});
      if (!ordinary_text.empty()) ordinary = id;
    }
  }
};

Vocabulary::Vocabulary(const std::filesystem::path& file) {
  const std::string bytes = read_whole(file);
  // Asked first because libsentencepiece prints to stderr about what it cannot parse.
  if (!is_vocabulary(bytes)) throw ConfigError(fmt::format("vocabulary {}: not a SentencePiece model", file.string()));
  auto impl = std::make_unique<Impl>();
  const auto status = impl->processor.LoadFromSerializedProto(bytes);
  if (!status.ok()) {
    throw ConfigError(fmt::format("vocabulary {}: not a SentencePiece model: {}", file.string(), status.ToString()));
  }
  for (const auto& [name, id] : {std::pair("pad", impl->processor.pad_id()), {"eos", impl->processor.eos_id()}}) {
    if (id < 0)
      throw ConfigError(fmt::format("vocabulary {}: it has no {} piece, which rows need", file.string(), name));
  }
  impl->pieces = impl->processor.GetPieceSize();
  impl->hash = fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size()));
  impl->find_ordinary_piece();
  impl_ = std::move(impl);
}

Vocabulary::~Vocabulary() = default;
Vocabulary::Vocabulary(Vocabulary&&) noexcept = default;

void Vocabulary::encode(std::string_view text, std::vector<TokenId>& ids) const {
  std::vector<int> encoded;
  const auto status = impl_->processor.Encode(text, &encoded);
  if (!status.ok()) throw std::runtime_error("sentencepiece: " + status.ToString());
  ids.insert(ids.end(), encoded.begin(), encoded.end());
}

std::vector<TokenId> Vocabulary::encode(std::string_view text) const {
  std::vector<TokenId> ids;
  encode(text, ids);
  return ids;
}

std::string Vocabulary::decode(const std::vector<TokenId>& ids) const {
  std::string text;
  std::vector<int> run;
  bool first = true;
  const auto end_run = [&] {
    text += first ? impl_->decode_run(run) : impl_->decode_later_run(run);
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
  if (id < pieces()) return impl_->processor.IdToPiece(id);
  // Rows behind the sentinels only fill the embedding up.
  return id < size() ? fmt::format("<extra_id_{}>", size() - 1 - id) : fmt::format("<unused_{}>", id);
}

int Vocabulary::pieces() const {
  return impl_->pieces;
}
int Vocabulary::embedding_rows() const {
  return (size() + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
}
TokenId Vocabulary::pad() const {
  return impl_->processor.pad_id();
}
TokenId Vocabulary::eos() const {
  return impl_->processor.eos_id();
}
const std::string& Vocabulary::hash() const {
  return impl_->hash;
}

}  // namespace millrace
