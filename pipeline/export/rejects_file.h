#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/corpora/reject_notices.h"
#include "pipeline/export/save_clock.h"
#include "pipeline/formats/staged_folder.h"
#include "stages/records.h"

namespace millrace {

/// Names rejects in an output's rejects.jsonl, and some of them in the log. One thread.
class RejectsFile {
 public:
  /// Begins the file, or goes on with the folder's.
  RejectsFile(StagedFolder& folder, const ExportWatch& watch);

  /// What was passed over of a corpus before, by cause: those were told.
  void begin(const std::string& corpus, const RejectNotices::Counts& before) { notices_.begin(corpus, before); }
  /// A reject on the way to a row.
  void add_of_row(const std::string& corpus, std::uint64_t row, const Reject& reject);
  /// A reject among documents. `shard`: as in RunCorpus::shards, which the file names it by.
  void add_of_shard(const std::string& corpus, const std::string& shard, Reject reject);
  /// Makes the file whole. Call once, last.
  void close();

 private:
  void tell(const std::string& corpus, const Reject& reject);
  void append(nlohmann::ordered_json line, const Reject& reject);

  StagedFolder& folder_;
  const ExportWatch& watch_;
  RejectNotices notices_;
};

}  // namespace millrace
