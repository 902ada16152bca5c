#include "pipeline/sample/sample_sources.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include <xxhash.h>

namespace millrace {
namespace fs = std::filesystem;

namespace {

struct Language {
  const char* extension;
  const char* name;
  const char* folder;
  SampleCorpus corpus;
};
constexpr auto kC = SampleCorpus::c_family;
constexpr auto kScripts = SampleCorpus::scripts;
constexpr std::array<Language, 36> kLanguages{{
    {"c", "C", "c", kC},
    {"h", "C", "c", kC},
    {"cc", "C++", "c++", kC},
    {"cpp", "C++", "c++", kC},
    {"cxx", "C++", "c++", kC},
    {"hpp", "C++", "c++", kC},
    {"hh", "C++", "c++", kC},
    {"hxx", "C++", "c++", kC},
    {"tcc", "C++", "c++", kC},
    {"ipp", "C++", "c++", kC},
    {"inl", "C++", "c++", kC},
    {"py", "Python", "python", kScripts},
    {"pl", "Perl", "perl", kScripts},
    {"pm", "Perl", "perl", kScripts},
    {"sh", "Shell", "shell", kScripts},
    {"bash", "Shell", "shell", kScripts},
    {"zsh", "Shell", "shell", kScripts},
    {"js", "JavaScript", "javascript", kScripts},
    {"mjs", "JavaScript", "javascript", kScripts},
    {"ts", "TypeScript", "typescript", kScripts},
    {"rb", "Ruby", "ruby", kScripts},
    {"lua", "Lua", "lua", kScripts},
    {"tcl", "Tcl", "tcl", kScripts},
    {"awk", "AWK", "awk", kScripts},
    {"cmake", "CMake", "cmake", kScripts},
    {"m4", "M4", "m4", kScripts},
    {"el", "Emacs Lisp", "emacs-lisp", kScripts},
    {"vim", "Vim Script", "viml", kScripts},
    {"go", "Go", "go", kScripts},
    {"rs", "Rust", "rust", kScripts},
    {"java", "Java", "java", kScripts},
    {"php", "PHP", "php", kScripts},
    {"sql", "SQL", "sql", kScripts},
    {"r", "R", "r", kScripts},
    {"hs", "Haskell", "haskell", kScripts},
    {"ml", "OCaml", "ocaml", kScripts},
}};

constexpr std::array<std::string_view, 12> kTextExtensions{"",     "txt", "md",  "rst",  "adoc",   "pod",
                                                           "text", "org", "tex", "texi", "debian", "info"};

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return text;
}

/// Of "changelog.Debian.gz": "debian".
std::string extension_of(std::string name) {
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  const std::size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0) return "";
  const std::string extension = lower(name.substr(dot + 1));
  // README.Debian and libfoo-1.2 have no extension that says what they are.
  const bool number = !extension.empty() && extension.find_first_not_of("0123456789") == std::string::npos;
  return number ? "" : extension;
}

bool has(std::string_view path, std::string_view part) {
  return path.find(part) != std::string_view::npos;
}

/// A file of this machine, and the corpus it goes into.
struct SampledFile {
  SampleCorpus corpus;
  SampleSource source;
};

std::optional<SampledFile> as_code(const std::string& path, const std::string& extension) {
  for (const Language& language : kLanguages) {
    if (extension == language.extension) {
      return SampledFile{language.corpus, {"", path, language.name, language.folder, extension}};
    }
  }
  // The standard library's headers have no extension.
  if (extension.empty() && has(path, "/include/c++/")) return SampledFile{kC, {"", path, "C++", "c++", ""}};
  return std::nullopt;
}

std::optional<SampledFile> as_manual(const std::string& path) {
  const std::string_view below = std::string_view(path).substr(std::string_view("/usr/share/man/").size());
  const std::size_t slash = below.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string first(below.substr(0, slash));
  if (first.starts_with("man")) return SampledFile{SampleCorpus::man, {"", path, "en", "", ""}};
  const std::string language = first.substr(0, first.find_first_of(".@"));
  return SampledFile{SampleCorpus::man_translated, {"", path, language, "", ""}};
}

std::optional<SampledFile> sampled_file(const std::string& path, bool is_package_tree) {
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string extension = extension_of(name);
  const auto below = [&path](const char* folder) { return path.starts_with(folder); };
  const bool is_text = std::find(kTextExtensions.begin(), kTextExtensions.end(), extension) != kTextExtensions.end();
  const SampledFile document{SampleCorpus::docs, {"", path, "", "", extension}};
  if (!is_package_tree) {
    if (auto code = as_code(path, extension)) return code;
    return is_text ? std::optional(document) : std::nullopt;
  }
  if (below("/usr/share/man/")) return as_manual(path);
  const bool licence = name == "copyright" || below("/usr/share/common-licenses/");
  if (licence) return SampledFile{SampleCorpus::licences, {"", path, "en", "", ""}};
  if (below("/usr/share/doc/") || below("/usr/share/info/") || extension == "pod") {
    return is_text ? std::optional(document) : std::nullopt;
  }
  return as_code(path, extension);
}

void walk(const fs::path& root, const std::string& below, bool is_package_tree,
          std::vector<std::vector<SampleSource>>& found) {
  std::error_code unreadable;
  const std::string start = root.string() == "/" ? "" : root.string();
  fs::recursive_directory_iterator entry(start + below, fs::directory_options::skip_permission_denied, unreadable);
  for (const fs::recursive_directory_iterator end; entry != end && !unreadable; entry.increment(unreadable)) {
    std::error_code ignored;
    if (entry->is_symlink(ignored) || !entry->is_regular_file(ignored)) continue;
    const std::string file = entry->path().string();
    if (auto place = sampled_file(file.substr(start.size()), is_package_tree)) {
      place->source.file = file;
      found[static_cast<std::size_t>(place->corpus)].push_back(std::move(place->source));
    }
  }
}

}  // namespace

std::vector<std::vector<SampleSource>> find_sample_sources(const std::vector<std::string>& roots) {
  std::vector<std::vector<SampleSource>> found(kSampleCorpora);
  for (const std::string& root : roots) {
    const fs::path folder = fs::path(root).lexically_normal();
    const bool is_package_tree = fs::exists(folder / "usr");
    if (!is_package_tree) walk(folder.has_filename() ? folder : folder.parent_path(), "", false, found);
    for (const char* below : {"/usr/share", "/usr/include", "/usr/lib", "/usr/src"}) {
      if (is_package_tree)
        walk(folder.has_filename() || folder == "/" ? folder : folder.parent_path(), below, true, found);
    }
  }
  for (std::vector<SampleSource>& sources : found) std::sort(sources.begin(), sources.end(), mixed_less);
  return found;
}

bool mixed_less(const SampleSource& a, const SampleSource& b) {
  const auto order = [](const SampleSource& source) { return XXH3_64bits(source.path.data(), source.path.size()); };
  const auto x = order(a);
  const auto y = order(b);
  return x != y ? x < y : a.path != b.path ? a.path < b.path : a.file < b.file;
}

bool looks_like_cpp(const std::string& text) {
  return has(text, "\nnamespace ") || has(text, "\ntemplate") || has(text, "\nclass ") || has(text, "std::");
}

}  // namespace millrace
