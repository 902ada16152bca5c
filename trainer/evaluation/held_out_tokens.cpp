#include "trainer/evaluation/held_out_tokens.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "stages/errors.h"
#include "trainer/weights/safetensors.h"

namespace millrace {
namespace {

constexpr const char* kVocabulary = "vocabulary";
constexpr std::size_t kNumberWidth = 5;  // "0003 "

std::uint64_t number_in(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  std::uint64_t value = 0;
  if (found != file.metadata().end()) {
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) return value;
  }
  throw ConfigError(fmt::format("{}: metadata \"{}\" is missing or not a number", file.path().string(), key));
}

}  // namespace

void append_document(HeldOutTokens& corpus, const std::vector<TokenId>& document, DocumentPart part, TokenId eos) {
  corpus.ids.insert(corpus.ids.end(), document.begin(), document.end());
  if (part == DocumentPart::whole) corpus.ids.push_back(eos);
  ++corpus.documents;
}

void save_held_out(const std::filesystem::path& file, const std::vector<HeldOutTokens>& corpora,
                   const std::string& vocabulary_hash) {
  std::vector<TensorView> tensors;
  std::map<std::string, std::string> metadata{{kVocabulary, vocabulary_hash}};
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    const HeldOutTokens& corpus = corpora[i];
    const std::string name = fmt::format("{:04} {}", i, corpus.corpus);
    tensors.push_back(tensor_of(name, {static_cast<std::int64_t>(corpus.ids.size())}, corpus.ids.data()));
    metadata[name + " documents"] = std::to_string(corpus.documents);
    metadata[name + " text_bytes"] = std::to_string(corpus.text_bytes);
  }
  write_safetensors(file, std::move(tensors), metadata);
}

std::vector<HeldOutTokens> load_held_out(const std::filesystem::path& path, const std::string& vocabulary_hash) {
  const SafetensorsFile file(path);
  const auto vocabulary = file.metadata().find(kVocabulary);
  if (vocabulary == file.metadata().end() || vocabulary->second != vocabulary_hash)
    throw ConfigError(path.string() + ": held-out tokens of another vocabulary");
  std::map<std::string, HeldOutTokens> by_name;
  for (const TensorView& tensor : file.tensors()) {
    if (tensor.name.size() < kNumberWidth) throw ConfigError(path.string() + ": no file of held-out tokens");
    HeldOutTokens& corpus = by_name[tensor.name];
    corpus.corpus = tensor.name.substr(kNumberWidth);
    corpus.ids.resize(static_cast<std::size_t>(tensor.elements()));
    copy_as_i32(tensor, corpus.ids.data());
    corpus.documents = number_in(file, tensor.name + " documents");
    corpus.text_bytes = number_in(file, tensor.name + " text_bytes");
  }
  std::vector<HeldOutTokens> corpora;
  for (auto& [name, corpus] : by_name) corpora.push_back(std::move(corpus));
  return corpora;
}

}  // namespace millrace
