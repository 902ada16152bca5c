#include "pipeline/export/rejects_file.h"

#include <utility>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"

namespace millrace {

RejectsFile::RejectsFile(StagedFolder& folder, const ExportWatch& watch) : folder_(folder), watch_(watch) {
  folder_.create(kRejects);
}

void RejectsFile::add_of_row(const std::string& corpus, std::uint64_t row, const Reject& reject) {
  tell(corpus, reject);
  append({{"corpus", corpus}, {"row", row}}, reject);
}

void RejectsFile::add_of_shard(const std::string& corpus, const std::string& shard, Reject reject) {
  tell(corpus, reject);
  reject.where.shard = shard;
  append({{"corpus", corpus}}, reject);
}

void RejectsFile::close() {
  folder_.close(kRejects);
}

void RejectsFile::tell(const std::string& corpus, const Reject& reject) {
  if (const auto line = notices_.line(corpus, reject)) watch_.notice(*line);
}

void RejectsFile::append(Json line, const Reject& reject) {
  line.update(Json(reject));
  folder_.append(kRejects, json_line(line) + "\n");
}

}  // namespace millrace
