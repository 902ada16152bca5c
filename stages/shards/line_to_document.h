#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stages/record_layout.h"
#include "stages/records.h"

namespace millrace {

class JsonParser;

/// Turns one line of JSON into a Document, or into a Reject that says why not. The whole record is validated: a
/// malformed field rejects it even if the field is not used. Numbers of any size and length; nesting up to 1,024
/// levels; of equal keys the last one counts; \u0000 is kept; a lone surrogate is bad_utf8; null is wrong_type. A valid
/// record that the filter leaves out is not processed further. Immutable: one object, any thread.
class LineToDocument {
 public:
  /// The parser's memory, grown to the longest line. One per thread, reused.
  class Scratch {
   public:
    Scratch();
    ~Scratch();

   private:
    friend class LineToDocument;
    std::unique_ptr<JsonParser> parser_;
  };

  explicit LineToDocument(const ReadOptions& options);

  /// REQUIRES: kLinePadding readable bytes behind `line`. The result owns its text and carries `where`.
  Record operator()(std::string_view line, RecordLocation where, Scratch& scratch) const;

 private:
  using Path = std::vector<std::string>;
  struct Rule {
    std::vector<Path> paths;
    std::vector<std::string> values;
    bool keep;
  };

  std::string text_field_;
  Path text_path_;
  std::vector<Rule> rules_;
  std::vector<std::vector<Path>> fields_;
};

/// The keys of the JSON object on `line`, escapes resolved; empty if it is none. REQUIRES: as LineToDocument.
std::vector<std::string> keys_of(std::string_view line);

}  // namespace millrace
