#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stages/records.h"

namespace millrace {

/// Turns one line of JSON into a Document, or into a Reject that says why not. The record is validated whole: a
/// malformed field that nobody asked for rejects it too. Nesting up to 1,024 levels; of equal keys the last one
/// counts; \u0000 is kept; a lone surrogate is bad_utf8; null is wrong_type. Immutable: one object, any thread.
class LineToDocument {
 public:
  /// The parser's memory, grown to the longest line. One per thread, reused.
  class Scratch {
   public:
    Scratch();
    ~Scratch();

   private:
    friend class LineToDocument;
    struct Parser;
    std::unique_ptr<Parser> parser_;
  };

  /// `text_field` is a path of keys: "text", "meta.body".
  explicit LineToDocument(const std::string& text_field);

  /// REQUIRES: kLinePadding readable bytes behind `line`. The result owns its text and carries `where`.
  Record operator()(std::string_view line, Where where, Scratch& scratch) const;

 private:
  std::string text_field_;
  std::vector<std::string> keys_;
};

/// The keys of the JSON object on `line`, escapes resolved; empty if it is none. REQUIRES: as LineToDocument.
std::vector<std::string> keys_of(std::string_view line);

}  // namespace millrace
