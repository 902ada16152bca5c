#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "stages/shards/shard_to_bytes.h"

namespace millrace {

/// Readable bytes behind every line, which simdjson's wide loads may touch.
inline constexpr std::size_t kLinePadding = 64;

/// Written by some programs at the beginning of a file; not part of the text.
inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// One non-blank line of a shard, without its line ending.
struct Line {
  std::string_view bytes;    ///< Valid until the next call; kLinePadding readable bytes follow. Empty if too_long.
  std::uint64_t record = 0;  ///< 0-based among non-blank lines.
  std::uint64_t number = 1;  ///< 1-based among all lines.
  std::uint64_t byte = 0;    ///< Offset of the line after decompression.
  std::uint64_t length = 0;  ///< Of the line; more than bytes.size() only if too_long.
  bool too_long = false;     ///< Longer than allowed: skipped and not kept.
};

/// Cuts a stream of bytes into lines, in place: a returned line points into the decompressor's output buffer. LF and
/// CRLF end a line, the last one may lack it; lines of blanks are no records; a UTF-8 byte order mark before the first
/// line is dropped. Memory: about the longest line allowed. One object, one thread.
class LineSplitter {
 public:
  enum class Step : std::uint8_t { line, fault, end };

  /// `stream` begins at from.offset in its file; the first line handed out is the one at `from`.
  LineSplitter(std::unique_ptr<ByteStream> stream, std::uint64_t max_line_bytes, const SeekPoint& from = {});

  /// line: `line` is set. fault: fault() says what could not be read, and `line` has its location and the length of the
  /// incomplete line before it; continue with next(). end: nothing follows. Throws std::system_error if the file cannot
  /// be read.
  Step next(Line& line);
  const ContainerFault& fault() const { return fault_; }
  /// The last line is no longer needed: frees the memory of a long one.
  void give_back();
  /// Line::record of what next() yields next.
  std::uint64_t next_record() const { return record_; }
  /// The last point at or before the next line from which reading can resume: the first line that begins in or after
  /// the latest frame. Depends on the file's bytes only.
  SeekPoint seek_point() const;
  /// Bytes of content before the next line.
  std::uint64_t content_read() const { return byte_; }
  /// Fraction of the file before the next line, 0 to 1; approximate in a compressed file.
  double share_read() const;

 private:
  struct Frame {
    std::uint64_t offset;
    std::uint64_t content;
    std::uint64_t lost;
  };

  bool find_end_of_line();
  void fetch();
  void pass_frames();
  void take(std::size_t length, Line& line);
  Step stop_at_fault(Line& line);

  std::unique_ptr<ByteStream> stream_;
  std::uint64_t max_line_bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;    // First byte of the line being looked for.
  std::size_t scanned_ = 0;  // No line ending before this.
  std::size_t end_ = 0;
  std::uint64_t dropped_ = 0;  // Bytes of an over-long line that are no longer in the buffer.
  std::uint64_t record_ = 0;
  std::uint64_t number_ = 1;
  std::uint64_t byte_ = 0;     // Offset in the content of begin_ - dropped_.
  std::uint64_t content_ = 0;  // Offset in the content of what is fetched next.
  std::uint64_t skip_ = 0;     // Bytes still to be left out before the first line.
  std::deque<Frame> frames_;   // Begun behind byte_.
  SeekPoint point_;
  bool pending_fault_ = false;
  bool at_end_ = false;
  ContainerFault fault_;
};

}  // namespace millrace
