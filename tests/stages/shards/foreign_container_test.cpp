#include "stages/shards/foreign_container.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "stages/shards/shard_to_records.h"
#include "tests/stages/shards/shard_fixture.h"

namespace millrace {
namespace {

/// The format that `head` begins; "none" if it may be a shard.
std::string kind(const std::string& head, bool is_text = false) {
  const std::optional<ForeignContainer> foreign = foreign_container(head, is_text);
  return foreign ? foreign->name : "none";
}

std::string lines() {
  std::string all;
  for (int i = 0; i < 100; ++i) all += json_line("document " + std::to_string(i));
  return all;
}

std::string zlib_stream(const std::string& content, int level) {
  uLongf size = compressBound(content.size());
  std::string bytes(size, '\0');
  compress2(reinterpret_cast<Bytef*>(bytes.data()), &size, reinterpret_cast<const Bytef*>(content.data()),
            content.size(), level);
  bytes.resize(size);
  return bytes;
}

/// A pre-POSIX tar header with its checksum, followed by the content.
std::string old_tar(const std::string& content) {
  std::string header(512, '\0');
  header.replace(0, 7, "a.jsonl");
  header.replace(100, 8, std::string("000644 \0", 8));
  unsigned sum = 8 * ' ';
  for (const char c : header) sum += static_cast<unsigned char>(c);
  char digits[8] = {};
  std::snprintf(digits, sizeof digits, "%06o", sum);
  header.replace(148, 8, std::string(digits, 7) + ' ');
  return header + content;
}

/// A frame whose header names a dictionary.
std::string with_dictionary(const std::string& content) {
  const std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  std::string frame(ZSTD_compressBound(content.size()), '\0');
  frame.resize(ZSTD_compressCCtx(context.get(), frame.data(), frame.size(), content.data(), content.size(), 3));
  // An id of one byte.
  frame[4] = static_cast<char>(frame[4] | 1);
  const bool single_segment = (static_cast<unsigned char>(frame[4]) & 0x20U) != 0;
  return frame.insert(single_segment ? 5 : 6, 1, '\x07');
}

TEST(ForeignContainer, IsNoneOfWhatIsRead) {
  for (const std::string& shard :
       {std::string(), lines(), "\xEF\xBB\xBF" + lines(), "\n \r\n" + lines(), zstd_frame(lines()),
        gzip_member(lines()), skippable_frame("x") + zstd_frame(lines()), zstd_frame(""), gzip_member(""),
        std::string("PAR1 and so on"), std::string("{"), std::string("{torn\n{\"text\": \"a\"}\n"),
        std::string("{\n{\"text\": \"a\"}\n"), std::string("[1, 2]\n{\"text\": \"a\"}\n"), std::string("[1]\n[2]\n"),
        std::string("\xFF{\"text\""), std::string(1000, '\0')})
    EXPECT_EQ(kind(shard), "none") << shard.substr(0, 40);
}

TEST(ForeignContainer, IsToldByItsFirstBytes) {
  using namespace std::string_literals;
  const std::vector<std::pair<std::string, std::string>> cases{
      {"BZh91AY&SY and so on", "bzip2"},
      {"BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0"s, "bzip2"},
      {"\xFD\x37zXZ\0\0\4"s, "xz"},
      {"\x5D\0\0\x80\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\x3D\x82"s, "lzma"},
      {"LZIP\1\x0C"s, "lzip"},
      {"\4\"M\x18\x64\x40\xA7"s, "lz4"},
      {"\2!L\x18\0\1"s, "lz4 of the old format"},
      {"\x1F\x9D\x90"s, "compress (.Z)"},
      {"\xFF\6\0\0sNaPpY\1"s, "framed snappy"},
      {"PK\3\4\x14\0"s, "zip"},
      {"PK\5\6\0\0"s, "zip"},
      {"7z\xBC\xAF\x27\x1C\0\4"s, "7z"},
      {"Rar!\x1A\7\1\0"s, "rar"},
      {old_tar(lines()), "tar"},
      {"ARROW1\0\0\xFF\xFF\xFF\xFF"s, "Arrow or Feather file"},
      {"FEA1\0\0\0\0"s, "Feather file of version 1"},
      {"\xFF\xFF\xFF\xFF\x78\0\0\0\x10\0\0\0"s, "Arrow stream"},
      {"ORC\n\3\0\0\0"s, "ORC"},
      {"Obj\1\4\x16"s, "Avro"},
      {"\x93NUMPY\1\0v\0"s, "npy"},
      {"\x89HDF\r\n\x1A\n\0"s, "HDF5"},
      {"SQLite format 3\0\x10"s, "SQLite"},
      {"%PDF-1.7\n", "PDF"},
      {"PARE\x30\0\0\0"s, "encrypted Parquet"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", "Git LFS pointer"},
      {"\xFF\xFE{\0\"\0"s, "UTF-16 text"},
      {"\xFE\xFF\0{\0\""s, "UTF-16 text"},
      {"{\0\"\0t\0"s, "UTF-16 text"},
      {"\xFF\xFE\0\0{\0\0\0"s, "UTF-32 text"},
      {"\0\0\xFE\xFF\0\0\0{"s, "UTF-32 text"},
      {"{\0\0\0\"\0\0\0"s, "UTF-32 text"},
      {"\0\0\0{\0\0\0\""s, "UTF-32 text"},
      {"\0{\0\"\0t"s, "UTF-16 text"},
      {"\n<!DOCTYPE html>\n<html>", "HTML or XML"},
      {"<HTML><head>", "HTML or XML"},
      {"<?xml version=\"1.0\"?><Error>", "HTML or XML"},
      {"[{\"text\": \"a\"},\n{\"text\": \"b\"}]\n", "JSON array"},
      {"[\n  {\"text\": \"a\"}\n]\n", "JSON array"},
      {"\xEF\xBB\xBF [{\"text\": \"a\"}, {\"text\": \"b\"}]\n\n", "JSON array"},
      {"[" + std::string(300'000, ' '), "JSON array"},
      {"{\n  \"text\": \"a\"\n}\n", "one JSON document over several lines"},
  };
  for (const auto& [head, name] : cases) {
    EXPECT_EQ(kind(head), name);
    EXPECT_EQ(kind(gzip_member(head)), name + " in gzip");
    EXPECT_EQ(kind(zstd_frame(head)), name + " in zstd");
  }
  for (const int level : {1, 6, 9}) EXPECT_EQ(kind(zlib_stream(lines(), level)), "zlib");
}

TEST(ForeignContainer, IsAlsoWhatIsPackedTwice) {
  EXPECT_EQ(kind(zstd_frame(gzip_member(lines()))), "gzip in zstd");
  EXPECT_EQ(kind(gzip_member(gzip_member(lines()))), "gzip in gzip");
  EXPECT_EQ(kind(gzip_member(zstd_frame(lines()))), "zstd in gzip");
  EXPECT_EQ(kind(gzip_member("PAR1\x15\x04")), "Parquet in gzip");
}

TEST(ForeignContainer, IsZstdThatWantsADictionary) {
  EXPECT_EQ(kind(with_dictionary(lines())), "zstd with a dictionary");
  EXPECT_EQ(kind(skippable_frame("head") + with_dictionary(lines())), "zstd with a dictionary");
}

TEST(ForeignContainer, IsNoTextThatBeginsLikeOne) {
  for (const char* text : {"PARENTS and others", "ORCHARDS are", "LZIP is", "FEA1", "x^2 + y^2 = z^2, as we know", "H,",
                           "BZh is the magic", "8\x1D", "version 2 of this", "Obj", "PK", "%PDF", "[1] a footnote",
                           "<html> is a tag", "{\n  \"a\": 1\n}"})
    EXPECT_EQ(kind(text, true), "none") << text;
}

TEST(ForeignContainer, OfATextIsOnlyWhatIsNoText) {
  EXPECT_EQ(kind("<!doctype html>", true), "none");
  EXPECT_EQ(kind("[\n1,\n2]", true), "none");
  EXPECT_EQ(kind(std::string("PK\3\4"), true), "zip");
  EXPECT_EQ(kind("\xFF\xFEh", true), "UTF-16 text");
}

TEST(ForeignContainer, SaysWhatToDo) {
  EXPECT_EQ(foreign_container("BZh91AY&SY", false)->told(), "bzip2; unpack it, or recompress it with zstd");
}

TEST(ForeignContainer, CutAnywhereNeverFails) {
  for (const std::string& whole : {zstd_frame(old_tar(lines())), gzip_member(old_tar(lines())), old_tar(lines()),
                                   zlib_stream(lines(), 6), with_dictionary(lines())}) {
    for (std::size_t size = 0; size <= std::min<std::size_t>(whole.size(), 600); ++size)
      EXPECT_NO_THROW(kind(whole.substr(0, size)));
  }
}

TEST(ForeignShard, IsLookedForWithoutReadingAShardTwice) {
  const TemporaryFolder folder;
  for (const std::string& bytes : {lines(), gzip_member(lines()), zstd_frame(lines())}) {
    std::string seen;
    ReadOptions options;
    options.on_bytes = [&seen](std::uint64_t offset, const char* data, std::size_t size) {
      EXPECT_EQ(offset, seen.size());
      seen.append(data, size);
    };
    EXPECT_EQ(read_shard(folder.write("a", bytes), 0, options).documents.size(), 100U);
    EXPECT_EQ(seen, bytes);
  }
}

TEST(ForeignShard, IsOneRejectThatNamesTheKind) {
  const TemporaryFolder folder;
  const Reading reading = read_shard(folder.write("a.jsonl.bz2", "BZh91AY&SY and so on\n\n"));
  ASSERT_EQ(reading.rejects.size(), 1U);
  EXPECT_EQ(reading.rejects[0].cause, RejectCause::unreadable);
  EXPECT_EQ(reading.rejects[0].reason, "bzip2; unpack it, or recompress it with zstd");
  EXPECT_TRUE(reading.documents.empty());
}

}  // namespace
}  // namespace millrace
