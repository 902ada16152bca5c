#include "pipeline/formats/nanotron_format.h"

#include <fmt/format.h>

#include "stages/io/input_file.h"
#include "stages/io/whole_file.h"

namespace millrace {
namespace {

std::string ds_of(const std::string& corpus) {
  return corpus + "/00000_unshuffled.ds";
}

std::string human(std::uint64_t tokens) {
  const auto value = static_cast<double>(tokens);
  if (value >= 1e12) return fmt::format("{:.2f}T", value / 1e12);
  if (value >= 1e9) return fmt::format("{:.2f}B", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.2f}M", value / 1e6);
  if (value >= 1e3) return fmt::format("{:.2f}K", value / 1e3);
  return fmt::format("{}", tokens);
}

std::string metadata_of(const std::string& tokenizer, IdType type, std::uint64_t tokens) {
  return fmt::format("{}|{}\n{}\n{} tokens\n", tokenizer, size_of(type), tokens, human(tokens));
}

class NanotronWriter : public DocumentWriter {
 public:
  NanotronWriter(StagedFolder& folder, const DocumentFiles& files)
      : folder_(folder),
        type_(files.id_type),
        tokenizer_(files.tokenizer),
        ds_(ds_of(files.corpus)),
        index_(ds_ + ".index"),
        metadata_(ds_ + ".metadata") {
    folder_.create(ds_);
    folder_.create(index_);
  }

  void add(const TokenDocument& document) override {
    append_ids(folder_, ds_, document.tokens, type_);
    const std::uint64_t end = tokens();
    folder_.append(index_, &end, sizeof end);
  }

  void finish() override {
    folder_.append(metadata_, metadata_of(tokenizer_, type_, tokens()));
    for (const std::string& name : {ds_, index_, metadata_}) folder_.close(name);
  }

 private:
  std::uint64_t tokens() const { return folder_.size(ds_) / size_of(type_); }

  StagedFolder& folder_;
  const IdType type_;
  const std::string tokenizer_, ds_, index_, metadata_;
};

std::vector<Damage> damage_of_metadata(const std::filesystem::path& folder, const std::string& name,
                                       const WrittenCorpus& corpus, IdType type) {
  const std::string found = read_whole_file(folder / name);
  const std::size_t bar = found.find('|');
  if (bar != std::string::npos && found == metadata_of(found.substr(0, bar), type, corpus.tokens)) return {};
  return {{name, fmt::format("is not \"TOKENIZER|{}\", {} tokens and their count for people, a line each",
                             size_of(type), corpus.tokens)}};
}

}  // namespace

std::unique_ptr<DocumentWriter> make_nanotron_writer(StagedFolder& folder, const DocumentFiles& files) {
  return std::make_unique<NanotronWriter>(folder, files);
}

std::vector<Damage> damage_of_nanotron(const std::filesystem::path& folder, const WrittenCorpus& corpus,
                                       const IdRules& rules) {
  const std::string ds = ds_of(corpus.corpus);
  std::vector<Damage> damage = damage_of_metadata(folder, ds + ".metadata", corpus, rules.type);
  InputFile index((folder / (ds + ".index")).string());
  if (index.size() != corpus.documents * sizeof(std::uint64_t))
    damage.push_back({ds + ".index", fmt::format("has {} bytes, expected 8 for each of {} documents", index.size(),
                                                 corpus.documents)});
  std::uint64_t last = 0;
  const auto next_end = [&]() -> std::optional<std::uint64_t> {
    std::uint64_t end = 0;
    if (index.read(reinterpret_cast<char*>(&end), sizeof end) < sizeof end) return std::nullopt;
    return last = end;
  };
  for (std::string& what : damage_of_ids(folder / ds, rules, next_end)) damage.push_back({ds, std::move(what)});
  if (last != corpus.tokens)
    damage.push_back({ds + ".index", fmt::format("ends at {} ids, but {} were written", last, corpus.tokens)});
  return damage;
}

}  // namespace millrace
