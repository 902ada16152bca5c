#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace millrace {

/// Shards for benchmarks. Made from a fixed seed: the same bytes on every machine.

/// A line of JSON in RedPajama's shape whose text has about `text_bytes`, in ASCII with the escapes that json.dumps
/// writes. The newline is part of it.
std::string json_line(std::size_t text_bytes);

/// About `bytes` of such lines, their texts between 2 and 8 KB.
std::string json_lines(std::size_t bytes);

/// `count` lines like {"text":"a1"}.
std::string tiny_json_lines(int count);

/// zstd frames as the zstd tool makes them, each of `frame_bytes` of content and so cut in the midst of lines.
std::string zstd_frames(std::string_view content, std::size_t frame_bytes);

/// One gzip member.
std::string gzip_member(std::string_view content);

}  // namespace millrace
