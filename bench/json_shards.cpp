#include "bench/json_shards.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include "stages/philox.h"

namespace millrace {
namespace {

constexpr std::uint64_t kSeed = 3;

/// Text of invented words that compresses about as well as English: frequencies after Zipf, and set phrases.
class TextMaker {
 public:
  explicit TextMaker(std::uint64_t item) : rng_(kSeed, Purpose::generation, item) {
    std::vector<std::string> pieces;
    for (int i = 0; i < kWords; ++i) pieces.push_back(word());
    for (int i = 0; i < kPhrases; ++i) {
      std::string phrase = pieces[rng_.below(kWords / 4)];
      for (std::uint64_t more = 2 + rng_.below(5); more > 0; --more) phrase += ' ' + pieces[rng_.below(kWords / 4)];
      pieces.push_back(std::move(phrase));
    }
    std::vector<std::uint32_t> ranks = rng_.permutation(kWords + kPhrases);
    // One table entry a chance, so that a draw costs one look-up.
    for (std::size_t rank = 0; piece_of_draw_.size() < kDraws; rank = (rank + 1) % ranks.size()) {
      const auto chances = static_cast<std::size_t>(kDraws / 11.0 / (static_cast<double>(rank) + 3)) + 1;
      piece_of_draw_.insert(piece_of_draw_.end(), chances, pieces[ranks[rank]]);
    }
    piece_of_draw_.resize(kDraws);
  }

  /// Appends text as it stands between the quotes of a JSON string.
  void append(std::string& to, std::size_t bytes) {
    const std::size_t end = to.size() + bytes;
    while (to.size() < end) append_sentence(to);
  }

  std::uint64_t below(std::uint64_t bound) { return rng_.below(bound); }

 private:
  static constexpr int kWords = 20'000;
  static constexpr int kPhrases = 4'000;
  static constexpr std::size_t kDraws = 1 << 16;

  std::string word() {
    static constexpr const char* kOnsets[] = {"b", "c", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "th", "st"};
    static constexpr const char* kVowels[] = {"a", "e", "i", "o", "u", "ea", "\\u00e9"};
    static constexpr const char* kCodas[] = {"", "", "n", "r", "s", "t", "ng", "nd"};
    std::string made;
    for (std::uint64_t syllables = 1 + rng_.below(3); syllables > 0; --syllables) {
      made += kOnsets[rng_.below(std::size(kOnsets))];
      made += kVowels[rng_.below(100) == 0 ? 6 : rng_.below(6)];
      made += kCodas[rng_.below(std::size(kCodas))];
    }
    return made;
  }

  void append_sentence(std::string& to) {
    const std::size_t begin = to.size();
    for (std::uint64_t pieces = 4 + rng_.below(9); pieces > 0; --pieces) {
      const std::uint32_t draw = rng_.next_u32();
      const std::string& piece = piece_of_draw_[draw % kDraws];
      to += (draw >> 16) % 50 == 0 ? "\\\"" + piece + "\\\"" : piece;
      to += ' ';
    }
    if (to[begin] != '\\') to[begin] = static_cast<char>(to[begin] - 'a' + 'A');
    to.back() = '.';
    to += rng_.below(5) == 0 ? "\\n\\n" : " ";
  }

  ItemRng rng_;
  std::vector<std::string> piece_of_draw_;
};

void append_line(std::string& lines, TextMaker& maker, std::size_t text_bytes) {
  lines += R"({"text": ")";
  maker.append(lines, text_bytes);
  lines += fmt::format(R"(", "meta": {{"timestamp": "2019-{:02}-{:02}T12:57:54Z", "url": "https://example.org/{}", )"
                       R"("language": "en", "source": "c4"}}}})",
                       1 + maker.below(12), 1 + maker.below(28), maker.below(1'000'000'000));
  lines += '\n';
}

}  // namespace

std::string json_line(std::size_t text_bytes) {
  TextMaker maker(0);
  std::string line;
  append_line(line, maker, text_bytes);
  return line;
}

std::string json_lines(std::size_t bytes) {
  TextMaker maker(1);
  std::string lines;
  lines.reserve(bytes + (64 << 10));
  while (lines.size() < bytes) append_line(lines, maker, 2000 + maker.below(6000));
  return lines;
}

std::string tiny_json_lines(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) lines += fmt::format("{{\"text\":\"a{}\"}}\n", i);
  return lines;
}

std::string zstd_frames(std::string_view content, std::size_t frame_bytes) {
  const std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  if (context == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  std::string frames;
  for (; !content.empty(); content.remove_prefix(std::min(frame_bytes, content.size()))) {
    const std::string_view part = content.substr(0, frame_bytes);
    const std::size_t begin = frames.size();
    frames.resize(begin + ZSTD_compressBound(part.size()));
    const std::size_t size =
        ZSTD_compress2(context.get(), frames.data() + begin, frames.size() - begin, part.data(), part.size());
    if (ZSTD_isError(size)) throw std::runtime_error(fmt::format("zstd: {}", ZSTD_getErrorName(size)));
    frames.resize(begin + size);
  }
  return frames;
}

std::string gzip_member(std::string_view content) {
  constexpr int kGzip = 16 + MAX_WBITS;
  z_stream deflater{};
  if (deflateInit2(&deflater, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();
  }
  std::string member(deflateBound(&deflater, content.size()), '\0');
  deflater.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  deflater.avail_in = static_cast<uInt>(content.size());
  deflater.next_out = reinterpret_cast<Bytef*>(member.data());
  deflater.avail_out = static_cast<uInt>(member.size());
  const int status = deflate(&deflater, Z_FINISH);
  member.resize(deflater.total_out);
  deflateEnd(&deflater);
  if (status != Z_STREAM_END) throw std::runtime_error("zlib: the content did not fit one call");
  return member;
}

}  // namespace millrace
