#include "stages/parquet/parquet_footer.h"

#include <lz4.h>

#include "stages/parquet/parquet_copy.h"
#include "stages/parquet/parquet_lz4.h"
#include "stages/parquet/thrift_compact.h"
#include "tests/stages/parquet/parquet_fixture.h"

namespace millrace {
namespace {

class ParquetFooterOf : public ParquetTest {
 protected:
  std::string sound() const {
    return write(
        "SELECT 'row ' || i AS content, {'a': [i, 2], 'b': MAP {'k': 1.5}} AS meta, i::DECIMAL(30, 2) AS size "
        "FROM range(5000) AS n(i)");
  }
};

TEST_F(ParquetFooterOf, AFileNamesItsColumnsAndRows) {
  const ParquetFooter footer = read_parquet_footer(InputFile(sound()));
  EXPECT_EQ(footer.rows, 5000U);
  ASSERT_EQ(footer.groups.size(), 3U);
  EXPECT_EQ(footer.groups[2].from, 4096U);
  ASSERT_EQ(footer.columns.size(), 3U);
  EXPECT_EQ(footer.name(1), "meta");
  EXPECT_EQ(footer.columns[1].leaf_end - footer.columns[1].leaf, 3U);
  EXPECT_TRUE(footer.nodes[footer.columns[0].node].is_text());
  EXPECT_FALSE(footer.nodes[footer.columns[2].node].is_text());
  EXPECT_GT(footer.uncompressed_bytes(0, {0}), 2048U * 5);
}

/// Any bytes either parse as a footer or throw ParquetFooterError.
TEST_F(ParquetFooterOf, DamagedBytesIsRefused) {
  const std::string bytes = bytes_of(sound());
  const std::size_t length =
      static_cast<unsigned char>(bytes[bytes.size() - 8]) + 256U * static_cast<unsigned char>(bytes[bytes.size() - 7]);
  int refused = 0, read = 0;
  for (std::size_t at = bytes.size() - length - 8; at < bytes.size(); at += 13) {
    for (const char mask : {'\x01', '\x10', '\x7F', '\xFF'}) {
      std::string damaged = bytes;
      damaged[at] ^= mask;
      try {
        const ParquetFooter footer = read_parquet_footer(InputFile(folder_.write("damaged", damaged)));
        std::uint64_t rows = 0;
        for (const ParquetRowGroup& group : footer.groups) rows += group.to - group.from;
        EXPECT_EQ(rows, footer.rows);
        ++read;
      } catch (const ParquetFooterError& error) {
        EXPECT_STRNE(error.what(), "");
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 20);
  EXPECT_GT(read, 20) << "names and statistics may be anything";
}

TEST_F(ParquetFooterOf, AFileThatIsCutAnywhereIsRefused) {
  const std::string bytes = bytes_of(write("SELECT 1 AS i"));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_THROW(read_parquet_footer(InputFile(folder_.write("cut", bytes.substr(0, size)))), ParquetFooterError)
        << size;
}

TEST_F(ParquetFooterOf, ACopyHoldsTheGroupAndTheColumnsWithTextsAsBytes) {
  const InputFile file(sound());
  const ParquetFooter footer = read_parquet_footer(file);
  const ParquetCopy copy(file, footer, 1, {0, 1});
  const ParquetFooter copied = read_parquet_footer(InputFile(copy.path()));
  EXPECT_EQ(copied.rows, 2048U);
  ASSERT_EQ(copied.columns.size(), 2U);
  EXPECT_EQ(copied.name(1), "meta");
  DuckdbSession session;
  DuckdbRows rows =
      session.query("SELECT content, CAST(meta.a[1] AS BIGINT), CAST(meta.b::VARCHAR AS BLOB) FROM read_parquet(" +
                    sql_string(copy.path()) + ")");
  ASSERT_TRUE(rows.next_chunk());
  EXPECT_EQ(rows.types()[0].kind, DuckdbType::Kind::bytes);
  EXPECT_EQ(rows.text(0, 0), "row 2048");
  EXPECT_EQ(rows.number(1, 5), 2053);
  EXPECT_NE(rows.text(2, 0).find("1.5"), std::string_view::npos);
}

TEST_F(ParquetFooterOf, ACopyOfPagesThatAreNotThereIsRefused) {
  const InputFile file(sound());
  ParquetFooter footer = read_parquet_footer(file);
  footer.groups[0].chunks[0].compressed_bytes = file.size();
  EXPECT_THROW(ParquetCopy(file, footer, 0, {0}), ParquetFooterError);
  footer.groups[1].chunks[0].data_page = ~std::uint64_t{0};
  footer.groups[1].chunks[0].dictionary_page.reset();
  EXPECT_THROW(ParquetCopy(file, footer, 1, {0}), ParquetFooterError);
}

TEST_F(ParquetFooterOf, AFileInOldLz4IsReadAsOthersAre) {
  for (const char* version : {"V1", "V2"}) {
    const std::string path = write("SELECT 'row row row row ' || i AS text, i % 3 AS size FROM range(5000) AS n(i)",
                                   std::string(", COMPRESSION lz4_raw, PARQUET_VERSION ") + version);
    const Reading sound = read_shard(path);
    const std::string old = folder_.write("old.parquet", with_codec(bytes_of(path), kParquetOldLz4, folder_));
    EXPECT_EQ(read_parquet_footer(InputFile(old)).groups.at(2).chunks.at(0).codec, kParquetOldLz4);
    ReadOptions options;
    options.filter.where = "size < 2";
    EXPECT_EQ(read_shard(old).texts(), sound.texts());
    EXPECT_EQ(read_shard(old, 4000, options).records(), read_shard(path, 4000, options).records());
    EXPECT_EQ(sound.documents.size(), 5000U);
  }
}

/// A page in blocks, each preceded by its size.
std::string hadoop_page(const std::vector<std::string>& blocks, const std::string& levels = "") {
  std::string body = levels;
  std::size_t unpacked = levels.size();
  const auto size = [&body](std::size_t bytes) {
    for (int shift = 24; shift >= 0; shift -= 8) body += static_cast<char>(bytes >> shift & 0xFFU);
  };
  for (const std::string& block : blocks) {
    std::string packed(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(block.size()))), '\0');
    packed.resize(static_cast<std::size_t>(LZ4_compress_default(
        block.data(), packed.data(), static_cast<int>(block.size()), static_cast<int>(packed.size()))));
    size(block.size());
    size(packed.size());
    body += packed;
    unpacked += block.size();
  }
  ThriftWriter out;
  out.begin_structure();
  out.i32(1, levels.empty() ? 2 : 3);
  out.i32(2, static_cast<std::int64_t>(unpacked));
  out.i32(3, static_cast<std::int64_t>(body.size()));
  out.i32(4, 12345);
  if (!levels.empty()) {
    out.field(8, ThriftKind::structure);
    out.begin_structure();
    out.i32(5, static_cast<std::int64_t>(levels.size()));
    out.i32(6, 0);
    out.end_structure();
  }
  out.end_structure();
  return out.bytes() + body;
}

TEST(OldLz4, IsUnpackedPageByPage) {
  const std::string first(3000, 'a'), second(2000, 'b'), third = "short";
  const std::string dictionary = hadoop_page({first, second});
  ParquetChunk chunk;
  chunk.codec = kParquetOldLz4;
  chunk.dictionary_page = 100;
  chunk.data_page = 100 + dictionary.size();
  const std::string pages = unpack_lz4_pages(dictionary + hadoop_page({third}, "levels"), chunk);
  EXPECT_EQ(chunk.codec, 0);
  EXPECT_EQ(chunk.compressed_bytes, pages.size());
  EXPECT_EQ(*chunk.dictionary_page, 100U);
  EXPECT_NE(pages.find(first + second), std::string::npos);
  EXPECT_EQ(pages.substr(pages.size() - 11), "levelsshort");
  EXPECT_LT(pages.find(first + second) + 5000, chunk.data_page - 100 + 1);
}

TEST(OldLz4, ThatIsDamagedIsRefused) {
  const std::string sound = hadoop_page({std::string(300, 'a'), "some other text"});
  ParquetChunk chunk;
  for (std::size_t size = 1; size < sound.size(); ++size)
    EXPECT_THROW(unpack_lz4_pages(sound.substr(0, size), chunk), ParquetFooterError) << size;
  for (std::size_t at = 0; at < sound.size(); ++at) {
    std::string damaged = sound;
    damaged[at] ^= '\x55';
    try {
      unpack_lz4_pages(damaged, chunk);
    } catch (const ParquetFooterError&) {
      continue;  // Without an error it is another text.
    }
  }
}

TEST(Thrift, ReadsWhatItWrites) {
  ThriftWriter out;
  out.begin_structure();
  out.i32(1, -7);
  out.i64(4, std::int64_t{1} << 62);
  out.binary(5, "text");
  out.list(6, ThriftKind::i32, 20);
  for (int i = 0; i < 20; ++i) out.element(i - 10);
  out.list(9, ThriftKind::binary, 2);
  out.element("a");
  out.element("");
  out.field(10, ThriftKind::structure);
  out.begin_structure();
  out.i32(15, 3);
  out.end_structure();
  out.end_structure();
  ThriftReader in(out.bytes());
  EXPECT_EQ(in.next_field(0).id, 1);
  EXPECT_EQ(in.integer(), -7);
  EXPECT_EQ(in.next_field(1).id, 4);
  EXPECT_EQ(in.integer(), std::int64_t{1} << 62);
  EXPECT_EQ(in.next_field(4).id, 5);
  EXPECT_EQ(in.binary(), "text");
  EXPECT_EQ(in.next_field(5).id, 6);
  EXPECT_EQ(in.list().size, 20U);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(in.integer(), i - 10);
  EXPECT_EQ(in.next_field(6).id, 9);
  in.skip(ThriftKind::list);
  EXPECT_EQ(in.next_field(9).id, 10);
  in.skip(ThriftKind::structure);
  EXPECT_EQ(in.next_field(10).kind, ThriftKind::stop);
  EXPECT_EQ(in.at(), out.bytes().size());
}

}  // namespace
}  // namespace millrace
