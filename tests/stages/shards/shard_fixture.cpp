#include "tests/stages/shards/shard_fixture.h"

#include <fstream>
#include <memory>
#include <stdexcept>
#include <variant>

#include <nlohmann/json.hpp>
#include <zlib.h>
#include <zstd.h>

namespace millrace {
namespace fs = std::filesystem;

std::string zstd_frame(const std::string& content, FrameOptions options) {
  const std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, options.checksum ? 1 : 0);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_contentSizeFlag, options.content_size ? 1 : 0);
  std::string frame(ZSTD_compressBound(content.size()), '\0');
  frame.resize(ZSTD_compress2(context.get(), frame.data(), frame.size(), content.data(), content.size()));
  return frame;
}

std::string skippable_frame(const std::string& content) {
  std::string frame = "\x5A\x2A\x4D\x18";
  for (unsigned shift = 0; shift < 32; shift += 8) frame += static_cast<char>(content.size() >> shift & 0xFF);
  return frame + content;
}

std::string gzip_member(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string member(deflateBound(&stream, content.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(member.data());
  stream.avail_out = static_cast<uInt>(member.size());
  deflate(&stream, Z_FINISH);
  member.resize(stream.total_out);
  deflateEnd(&stream);
  return member;
}

std::vector<std::string> Reading::texts() const {
  std::vector<std::string> all;
  for (const Document& document : documents) all.push_back(document.text);
  return all;
}

std::vector<std::uint64_t> Reading::records() const {
  std::vector<std::uint64_t> all;
  for (const Document& document : documents) all.push_back(document.where.record);
  return all;
}

std::map<std::string, int> Reading::causes() const {
  std::map<std::string, int> counts;
  for (const Reject& reject : rejects) ++counts[name_of(reject.cause)];
  return counts;
}

Reading read_shard(const std::string& path, std::uint64_t first_record, const ReadOptions& options,
                   const SeekPoint& from) {
  Reading reading;
  const std::unique_ptr<RecordReader> reader = open_shard(path, options, first_record, from);
  for (Record record; reader->next(record);) {
    if (auto* document = std::get_if<Document>(&record)) {
      reading.documents.push_back(std::move(*document));
    } else if (auto* reject = std::get_if<Reject>(&record)) {
      reading.rejects.push_back(std::move(*reject));
    } else {
      reading.filtered.push_back(std::get<Filtered>(record).where.record);
    }
  }
  return reading;
}

std::string json_line(const std::string& text) {
  return nlohmann::json{{"text", text}}.dump() + "\n";
}

}  // namespace millrace
