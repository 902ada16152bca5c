#include "stages/record_layout.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {
namespace {

const std::array<RecordLayout, 7>& layouts() {
  static const std::array<RecordLayout, 7> all{{
      // common_crawl has no `meta`; github's language is a list of {name, bytes}, that of the others a string.
      {"redpajama",
       "text",
       {{"lang", "meta.language.name"},
        {"lang", "meta.language"},
        {"url", "meta.url"},
        {"path", "meta.path"},
        {"id", "meta.id"},
        {"id", "meta.arxiv_id"},
        {"license", "meta.license"}}},
      {"redpajama-v2", "raw_content", {{"lang", "language"}, {"url", "url"}, {"id", "doc_id"}, {"id", "digest"}}},
      {"the-stack",
       "content",
       {{"lang", "lang"}, {"path", "max_stars_repo_path"}, {"id", "hexsha"}, {"license", "max_stars_repo_licenses"}}},
      {"dolma",
       "text",
       {{"lang", "metadata.language"},
        {"url", "metadata.url"},
        {"path", "metadata.path"},
        {"id", "id"},
        {"license", "metadata.license"}}},
      {"c4", "text", {{"url", "url"}}},
      {"text", "", {}},
      {"custom", "text", {}},
  }};
  return all;
}

}  // namespace

std::vector<std::string> RecordLayout::paths_of(const std::string& field) const {
  std::vector<std::string> paths;
  for (const auto& [name_of_field, path] : fields) {
    if (name_of_field == field) paths.push_back(path);
  }
  if (paths.empty()) paths.push_back(field);
  return paths;
}

RecordLayout layout_named(const std::string& name) {
  std::string known;
  for (const RecordLayout& layout : layouts()) {
    if (name == layout.name) return layout;
    known += (known.empty() ? "" : ", ") + layout.name;
  }
  throw ConfigError(fmt::format("there is no layout \"{}\"; known are {}", name, known));
}

RecordLayout layout_of_keys(const std::vector<std::string>& keys) {
  const auto has = [&keys](const char* key) { return std::find(keys.begin(), keys.end(), key) != keys.end(); };
  if (has("raw_content")) return layout_named("redpajama-v2");
  if (has("content") && !has("text")) return layout_named("the-stack");
  if (has("text") && (has("meta") || has("pred_label"))) return layout_named("redpajama");
  if (has("text") && has("id") && has("source")) return layout_named("dolma");
  if (has("text") && has("url") && has("timestamp")) return layout_named("c4");
  return layout_named("custom");
}

}  // namespace millrace
