// Compares LineSplitter with a simple splitter that reads one byte at a time: for a stream whose pieces, frames and
// faults the input chooses, both give the same lines, and so does a splitter that starts at any seek point.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fuzzer/FuzzedDataProvider.h>

#include "stages/shards/shard_to_lines.h"
#include "tests/fuzz/require.h"

namespace millrace {
namespace {

/// The result of one read: bytes, and their properties.
struct Scripted {
  std::string bytes;
  std::optional<std::uint64_t> frame;
  bool fault = false;
  bool cuts_line = false;
};
using Script = std::vector<Scripted>;

/// Replays a script. A piece that does not fit is returned in parts.
class ScriptedBytes final : public ByteStream {
 public:
  ScriptedBytes(const Script& script, std::size_t first, std::uint64_t longest)
      : script_(script), next_(first), most_((1 << 20) + 2 * static_cast<std::size_t>(longest)) {}

  Piece read(char* into, std::size_t capacity) override {
    require(capacity > 0, "a read has room");
    require(capacity <= most_, "a splitter holds about one line, not more");
    // A read without bytes and fault means the end, so such a step of the script is skipped.
    while (next_ < script_.size() && script_[next_].bytes.empty() && !script_[next_].fault) ++next_;
    if (next_ == script_.size()) return {};
    const Scripted& step = script_[next_];
    Piece piece;
    piece.bytes = std::min(capacity, step.bytes.size() - given_);
    if (given_ == 0) piece.frame = step.frame;
    std::copy_n(step.bytes.data() + given_, piece.bytes, into);
    given_ += piece.bytes;
    if (given_ < step.bytes.size()) return piece;
    if (step.fault) piece.fault = ContainerFault{RejectCause::damaged_frame, "scripted", 0, step.cuts_line};
    given_ = 0;
    ++next_;
    return piece;
  }

  double share_read() const override {
    return static_cast<double>(next_) / static_cast<double>(std::max<std::size_t>(script_.size(), 1));
  }

 private:
  const Script& script_;
  std::size_t next_;
  std::size_t given_ = 0;
  std::size_t most_;
};

struct Found {
  bool fault = false;
  std::string bytes;
  std::uint64_t record = 0, number = 0, byte = 0, length = 0;
  bool too_long = false;

  bool operator==(const Found&) const = default;
};

/// The simple, slow splitter.
class OneByteAtATime {
 public:
  explicit OneByteAtATime(std::uint64_t longest) : longest_(longest) {}

  std::vector<Found> split(const Script& script) {
    for (const Scripted& step : script) {
      for (const char byte : step.bytes) {
        if (byte == '\n') {
          end_line(1);
        } else {
          begun_ += byte;
        }
      }
      if (!step.fault) continue;
      if (!step.cuts_line && !begun_.empty()) end_line(0);
      found_.push_back({true, "", record_, number_, byte_, begun_.size(), false});
      if (!begun_.empty()) pass_line(0);
    }
    if (!begun_.empty()) end_line(0);
    return std::move(found_);
  }

 private:
  void end_line(std::uint64_t ending) {
    std::string line = begun_;
    if (byte_ == 0 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    if (line.ends_with('\r')) line.pop_back();
    const bool too_long = line.size() > longest_;
    if (too_long || line.find_first_not_of(" \t\r") != std::string::npos) {
      found_.push_back({false, too_long ? "" : line, record_++, number_, byte_, begun_.size(), too_long});
    }
    pass_line(ending);
  }

  void pass_line(std::uint64_t ending) {
    byte_ += begun_.size() + ending;
    ++number_;
    begun_.clear();
  }

  std::uint64_t longest_;
  std::vector<Found> found_;
  std::string begun_;
  std::uint64_t record_ = 0, number_ = 1, byte_ = 0;
};

void require_readable_padding(std::string_view line) {
  std::array<char, kLinePadding> padding;
  std::copy_n(line.data() + line.size(), kLinePadding, padding.begin());
  volatile char sink = padding.back();
  static_cast<void>(sink);
}

/// Everything that `lines` returns, and its seek points.
std::vector<Found> split(LineSplitter lines, std::vector<SeekPoint>& points) {
  std::vector<Found> found;
  for (;;) {
    const SeekPoint point = lines.seek_point();
    require(point.record <= lines.next_record(), "a seek point lies at or before the next record");
    require(point.content <= point.byte, "a line begins at or behind its frame");
    if (points.empty() || points.back() != point) points.push_back(point);
    Line line;
    const LineSplitter::Step step = lines.next(line);
    if (step == LineSplitter::Step::end) return found;
    const bool fault = step == LineSplitter::Step::fault;
    if (!fault && !line.too_long) require_readable_padding(line.bytes);
    found.push_back({fault, std::string(line.bytes), line.record, line.number, line.byte, line.length, line.too_long});
  }
}

/// The content from `point` on, without faults before the first line: whether a fault exactly at the point is reported
/// again is unspecified.
std::vector<Found> from_point(std::vector<Found> all, const SeekPoint& point) {
  const auto first =
      std::find_if(all.begin(), all.end(), [&](const Found& one) { return !one.fault && one.record >= point.record; });
  all.erase(all.begin(), first);
  return all;
}

constexpr std::size_t kMostReopened = 3;
constexpr std::uint64_t kFileBytesPerByte = 3;  // Offsets in the scripted file differ from those in the content.

Script script_of(FuzzedDataProvider& input, bool long_lines) {
  Script script;
  std::vector<std::array<std::size_t, 2>> steps;
  for (std::size_t count = input.ConsumeIntegralInRange<std::size_t>(0, 40); count > 0; --count) {
    const auto size = input.ConsumeIntegralInRange<std::size_t>(0, 60);
    steps.push_back({size, input.ConsumeIntegralInRange<std::size_t>(0, 15)});
  }
  const std::string content = input.ConsumeRemainingBytesAsString();
  std::size_t at = 0;
  std::uint64_t position = 0;
  int runs = 0;
  for (std::size_t i = 0; i <= steps.size(); ++i) {
    const bool last = i == steps.size();
    Scripted step;
    for (const char byte : content.substr(at, last ? std::string::npos : steps[i][0])) {
      ++at;
      // The input can ask for long lines cheaply, so the buffer's limits are tested, too.
      if (long_lines && byte == '\x01' && runs < 4) {
        ++runs;
        step.bytes.append(150'000, 'x');
      } else {
        step.bytes += byte;
      }
    }
    const std::size_t kind = last ? 0 : steps[i][1];
    if (!step.bytes.empty() && (position == 0 || kind % 4 == 1)) step.frame = kFileBytesPerByte * position;
    step.fault = kind >= 12;
    step.cuts_line = kind >= 14;
    position += step.bytes.size();
    script.push_back(std::move(step));
  }
  return script;
}

void try_input(FuzzedDataProvider& input) {
  const bool long_lines = input.ConsumeBool();
  const std::uint64_t longest = input.ConsumeIntegralInRange<std::uint64_t>(1, 100) + (long_lines ? 299'950 : 0);
  const Script script = script_of(input, long_lines);

  const auto read_on = [&](std::size_t first_step, const SeekPoint& from, std::vector<SeekPoint>& points) {
    return split(LineSplitter(std::make_unique<ScriptedBytes>(script, first_step, longest), longest, from), points);
  };

  std::vector<SeekPoint> points;
  const std::vector<Found> found = read_on(0, {}, points);
  require(found == OneByteAtATime(longest).split(script), "the same lines and faults as the slow splitter");

  for (std::size_t i = 0; i < std::min(points.size(), kMostReopened); ++i) {
    const SeekPoint& from = points[i];
    require(from.offset == kFileBytesPerByte * from.content, "a frame's content begins where the frame says");
    const auto frame =
        std::find_if(script.begin(), script.end(), [&](const Scripted& step) { return step.frame == from.offset; });
    require(frame != script.end() || from.offset == 0, "a seek point names a frame");
    const auto first_step = frame == script.end() ? 0 : static_cast<std::size_t>(frame - script.begin());
    std::vector<SeekPoint> later;
    const std::vector<Found> again = read_on(first_step, from, later);
    require(from_point(again, from) == from_point(found, from), "the same lines from a seek point on");
  }
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  millrace::try_input(input);
  return 0;
}
