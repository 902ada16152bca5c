#include <algorithm>
#include <exception>
#include <functional>

#include <fmt/format.h>

#include "pipeline/export/preprocess.h"
#include "pipeline/formats/document_writer.h"
#include "pipeline/formats/formats.h"
#include "pipeline/formats/row_writer.h"
#include "stages/errors.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Every file's length and sums.
void check_files(const fs::path& folder, const ExportManifest& manifest, const std::function<bool()>& interrupted,
                 std::vector<Damage>& damage) {
  for (const auto& [name, sums] : manifest.files) {
    if (interrupted()) return;
    for (std::string& what : damage_of_file(folder / name, sums)) damage.push_back({name, std::move(what)});
  }
}

void check_accounts(const ExportManifest& manifest, std::vector<Damage>& damage) {
  for (const CorpusAccount& account : manifest.accounts) {
    try {
      check_account(account);
    } catch (const std::logic_error& error) {
      damage.push_back({kOutputManifest, error.what()});
    }
  }
}

void check_documents(const fs::path& folder, const ExportManifest& manifest, const DocumentFormat& format,
                     const std::function<bool()>& interrupted, std::vector<Damage>& damage) {
  const IdRules rules{id_type_named(manifest.id_type), manifest.identity.vocabulary_size, manifest.identity.eos};
  for (const CorpusAccount& account : manifest.accounts) {
    if (interrupted()) return;
    const WrittenCorpus corpus{account.corpus, account.documents, account.raw_tokens + account.documents};
    try {
      std::ranges::move(format.check(folder, corpus, rules), std::back_inserter(damage));
    } catch (const std::exception& error) {
      damage.push_back({account.corpus, error.what()});
    }
  }
}

}  // namespace

std::vector<Damage> check_output(const fs::path& folder, const std::function<bool()>& interrupted) {
  std::vector<Damage> damage;
  ExportManifest manifest;
  try {
    manifest = read_output_manifest(folder);
  } catch (const DataError& error) {
    return {{kOutputManifest, error.what()}};
  }
  check_files(folder, manifest, interrupted, damage);
  check_accounts(manifest, damage);
  if (const DocumentFormat* format = document_format(manifest.identity.format)) {
    check_documents(folder, manifest, *format, interrupted, damage);
  } else if (const RowFormat* rows = row_format(manifest.identity.format); rows != nullptr && !interrupted()) {
    try {
      std::ranges::move(rows->check(folder, {manifest.rows, manifest.length, manifest.identity}),
                        std::back_inserter(damage));
    } catch (const std::exception& error) {
      damage.push_back({manifest.identity.format, error.what()});
    }
  }
  return damage;
}

}  // namespace millrace
