#include "pipeline/config/corpus_name.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "pipeline/output_names.h"
#include "stages/errors.h"
#include "stages/utf8.h"

namespace millrace {
namespace {

constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
constexpr std::string_view kMarks = "._+-";

/// What file systems take as a name, less the longest that a format puts behind a corpus's.
constexpr std::size_t kLongestFileName = 255;
constexpr std::size_t kLongest = kLongestFileName - std::string_view("_text_document.idx").size();

/// Names of ours that stand beside those of corpora in an output folder.
constexpr std::array<std::string_view, 4> kOurs{kRejects, kOutputManifest, "progress.json", "index.json"};

std::string without_capitals(std::string name) {
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return name;
}

}  // namespace

std::string why_no_corpus_name(const std::string& name) {
  if (std::ranges::find(kOurs, without_capitals(name)) != kOurs.end())
    return "is a name that a file of millrace itself has";
  if (name.empty()) return "is empty";
  if (name.size() > kLongest)
    return fmt::format("is {} bytes long, expected at most {}: files are called after corpora", name.size(), kLongest);
  const auto is_letter = [](char c) { return kLetters.find(c) != std::string_view::npos; };
  const auto is_fine = [&](char c) { return is_letter(c) || kMarks.find(c) != std::string_view::npos; };
  if (is_letter(name.front()) && std::ranges::all_of(name, is_fine)) return "";
  return "has a character that it cannot have: files are called after corpora, so a name is letters and digits of "
         "ASCII, and behind the first of them also . _ + -";
}

void refuse_shards_without_a_name(const std::vector<std::string>& shards) {
  const auto bad = std::ranges::find_if_not(shards, [](const std::string& shard) { return is_utf8(shard); });
  if (bad != shards.end())
    throw ConfigError(fmt::format(
        "{}: its path is not valid UTF-8, so that no index, log or run folder could name it; rename it", *bad));
}

void refuse_names_alike(const std::vector<std::string>& names) {
  std::map<std::string, std::string> seen;
  for (const std::string& name : names) {
    const auto [known, is_new] = seen.emplace(without_capitals(name), name);
    if (!is_new)
      throw ConfigError(
          fmt::format("corpora \"{}\" and \"{}\" differ in capitals only: where file systems ignore them, files that "
                      "are called after "
                      "one would be the other's; rename one in the mix",
                      known->second, name));
  }
}

}  // namespace millrace
