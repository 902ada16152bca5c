#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include <toml++/toml.h>

namespace millrace {

/// What `--set` says: "dotted.key=value". A part of the key behind a list of tables is the number of one of them, from
/// 0, or its name: "phase.0.until", "corpus.prose.share".
struct Assignment {
  /// Throws ConfigError if it is none.
  explicit Assignment(const std::string& assignment);

  std::string text;              ///< As it was given.
  std::vector<std::string> key;  ///< Its parts.
  std::size_t begin = 0;         ///< The first part that is a key of the file at hand: those before name the file.
  std::string value;             ///< As TOML, or a text without quotes.
};

/// A key that an assignment goes on behind, though it has a text: the text may name a file.
struct NamedFile {
  const toml::table* table;
  std::string key;
  Assignment inside;  ///< What is assigned in the file.
};

/// Carries it out: the new value, or in which file it is to be carried out. Tables that are not there are made; whoever
/// reads the file refuses the keys that it does not know. Throws ConfigError, saying what exists, where a key leads
/// behind another value, or to no table of a list.
std::variant<const toml::node*, NamedFile> assign(toml::table& file, const Assignment& assignment);

}  // namespace millrace
