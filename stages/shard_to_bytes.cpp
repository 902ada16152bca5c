#include "stages/shard_to_bytes.h"

#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "stages/gzip_stream.h"
#include "stages/zstd_stream.h"

namespace millrace {
namespace {

class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(std::unique_ptr<InputFile> file) : file_(std::move(file)) {}
  Piece read(char* into, std::size_t capacity) override { return {file_->read(into, capacity)}; }
  double share_read() const override { return file_->share_read(); }
  bool is_plain() const override { return true; }

 private:
  std::unique_ptr<InputFile> file_;
};

}  // namespace

Container container_of(const InputFile& file) {
  char head[4] = {};
  const std::size_t size = file.read_at(0, head, sizeof head);
  if (size >= 4 && is_zstd_magic(head)) return Container::zstd;
  if (size >= 2 && std::memcmp(head, "\x1f\x8b", 2) == 0) return Container::gzip;
  if (size >= 4 && (std::memcmp(head, "PAR1", 4) == 0 || std::memcmp(head, "PARE", 4) == 0)) return Container::parquet;
  return Container::plain;
}

const char* name_of(Container container) {
  static constexpr const char* kNames[] = {"plain", "zstd", "gzip", "parquet"};
  return kNames[static_cast<std::size_t>(container)];
}

std::unique_ptr<ByteStream> open_bytes(std::unique_ptr<InputFile> file, Container container, const SeekPoint& from) {
  file->seek(from.offset);
  switch (container) {
    case Container::plain:
      return std::make_unique<PlainStream>(std::move(file));
    case Container::zstd:
      return open_zstd_stream(std::move(file), from);
    case Container::gzip:
      return open_gzip_stream(std::move(file), from);
    case Container::parquet:
      break;
  }
  throw std::logic_error("open_bytes: a Parquet file is no stream of bytes");
}

}  // namespace millrace
