#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

/// The corpora that `millrace sample` makes; each is one folder of RedPajama lines or a few of The Stack's.
enum class SampleCorpus : std::uint8_t { docs, man, man_translated, licences, c_family, scripts };
inline constexpr int kSampleCorpora = 6;

/// A file of the machine that may become a document.
struct SampleSource {
  std::string file;      ///< Where it can be opened.
  std::string path;      ///< As it is called in the sample: "/usr/share/doc/...", whatever the root.
  std::string language;  ///< Of manual pages: "en", "fr", ... Of code: The Stack's name, "C++". Else empty.
  std::string folder;    ///< Of code: The Stack's folder, "c++".
  std::string extension;
};

/// What a root holds, per corpus, in an order that depends on the paths alone and is well mixed. A root is "/" or a
/// folder with packages unpacked into it; all of one without usr/ counts as documentation and sources.
std::vector<std::vector<SampleSource>> find_sample_sources(const std::vector<std::string>& roots);

/// The order that find_sample_sources gives. Neighbouring files are alike: ordering by a hash of the path mixes them,
/// the same way for every root.
bool mixed_less(const SampleSource& a, const SampleSource& b);

/// Headers called .h may be either language: looks into the text.
bool looks_like_cpp(const std::string& text);

}  // namespace millrace
