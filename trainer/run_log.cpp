#include "trainer/run_log.h"

#include <cerrno>
#include <fstream>
#include <functional>
#include <system_error>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "trainer/atomic_file.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kRejects = "rejects.jsonl";
constexpr const char* kPositions = "positions.jsonl";
constexpr std::uint64_t kPositionEvery = 1000;

void keep_lines(const fs::path& path, const std::function<bool(const Json&)>& keep) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return;
  std::string kept;
  for (std::string line; std::getline(file, line);) {
    const bool torn = file.eof();
    const Json json = Json::parse(line, nullptr, false);
    if (!torn && json.is_object() && keep(json)) kept += line + "\n";
  }
  write_file_atomically(path, kept);
}

std::optional<std::uint64_t> number(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

bool at_most(const std::optional<std::uint64_t>& value, const std::optional<std::uint64_t>& bound) {
  return value && bound && *value <= *bound;
}

}  // namespace

class RunLog::LineFile {
 public:
  explicit LineFile(fs::path path) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail("cannot open");
  }
  ~LineFile() { ::close(descriptor_); }
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  void append(std::string_view line) {
    waiting_ += line;
    waiting_ += '\n';
    write_waiting();
  }

  void expect_written() {
    if (!write_waiting()) fail("cannot write");
  }

  void sync() const {
    if (::fsync(descriptor_) != 0) fail("cannot sync");
  }

 private:
  /// False, with errno: the disk does not take it.
  bool write_waiting() {
    std::size_t at = 0;
    bool taken = true;
    while (taken && at < waiting_.size()) {
      const ssize_t written = ::write(descriptor_, waiting_.data() + at, waiting_.size() - at);
      if (written > 0) at += static_cast<std::size_t>(written);
      taken = written >= 0 || errno == EINTR;
    }
    const int reason = errno;
    waiting_.erase(0, at);
    errno = reason;
    return taken;
  }

  [[noreturn]] void fail(const char* what) const {
    throw std::system_error(errno, std::generic_category(), path_.string() + ": " + what);
  }

  fs::path path_;
  int descriptor_ = -1;
  std::string waiting_;  ///< Not taken by the disk yet.
};

RunLog::RunLog(const fs::path& folder)
    : metrics_(std::make_unique<LineFile>(folder / kMetrics)),
      rejects_(std::make_unique<LineFile>(folder / kRejects)),
      positions_(std::make_unique<LineFile>(folder / kPositions)) {}

RunLog::~RunLog() = default;

void RunLog::metrics(std::string_view line) {
  metrics_->append(line);
}

void RunLog::row(const StreamRow& row, const std::vector<std::string>& corpora) {
  for (std::size_t i = 0; i < row.rejects.size(); ++i) {
    Json json{{"row", row.number}, {"corpus", corpora.at(row.reject_corpora.at(i))}};
    json.update(Json::parse(to_json(row.rejects[i])));
    rejects_->append(json.dump());
  }
  if (row.after->row % kPositionEvery == 0) positions_->append(to_json(*row.after));
}

void RunLog::expect_written() {
  metrics_->expect_written();
  rejects_->expect_written();
  positions_->expect_written();
}

void RunLog::sync() const {
  metrics_->sync();
  rejects_->sync();
  positions_->sync();
}

void cut_back_logs(const fs::path& folder, const std::optional<LogEnd>& end) {
  keep_lines(folder / kMetrics, [&](const Json& line) {
    return end && at_most(number(line, "step"), line.contains("eval") ? end->evaluated_at : end->step);
  });
  keep_lines(folder / kRejects, [&](const Json& line) {
    const auto row = number(line, "row");
    return end && row && *row < end->row;
  });
  keep_lines(folder / kPositions, [&](const Json& line) { return end && at_most(number(line, "row"), end->row); });
}

}  // namespace millrace
