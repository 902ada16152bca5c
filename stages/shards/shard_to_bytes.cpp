#include "stages/shards/shard_to_bytes.h"

#include <stdexcept>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "stages/compression/gzip_stream.h"
#include "stages/compression/zstd_stream.h"
#include "stages/parquet/parquet_footer.h"

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

Container container_of(InputFile& file) {
  const InputFile::View view = file.peek(kParquetMagic.size());
  const std::string_view head(view.data, view.size);
  if (head.size() >= 4 && is_zstd_magic(head.data())) return Container::zstd;
  if (head.starts_with("\x1f\x8b")) return Container::gzip;
  return head.starts_with(kParquetMagic) ? Container::parquet : Container::plain;
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
