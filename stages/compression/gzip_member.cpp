#include "stages/compression/gzip_member.h"

#include <array>
#include <stdexcept>

#include <zlib.h>

namespace millrace {
namespace {

constexpr int kGzipWindow = 15 + 16;  // The largest window, in gzip's framing.
constexpr int kMemory = 8;

}  // namespace

struct GzipMember::State {
  State() {
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
      throw std::runtime_error("zlib: deflateInit2 failed");
  }
  ~State() { deflateEnd(&stream); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  z_stream stream{};
};

GzipMember::GzipMember() : state_(std::make_unique<State>()) {}

GzipMember::~GzipMember() = default;

std::string GzipMember::add(std::string_view bytes) {
  return deflated(bytes, Z_NO_FLUSH);
}

std::string GzipMember::finish() {
  return deflated({}, Z_FINISH);
}

std::string GzipMember::deflated(std::string_view bytes, int flush) {
  z_stream& stream = state_->stream;
  // zlib only reads what next_in points to.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  std::array<char, 1 << 16> piece{};
  do {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    if (deflate(&stream, flush) == Z_STREAM_ERROR) throw std::logic_error("zlib: deflate was used wrongly");
    out.append(piece.data(), piece.size() - stream.avail_out);
  } while (stream.avail_out == 0);
  return out;
}

}  // namespace millrace
