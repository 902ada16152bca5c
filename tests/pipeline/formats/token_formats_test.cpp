#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/formats/document_writer.h"
#include "pipeline/formats/formats.h"
#include "pipeline/formats/mds_shard.h"
#include "pipeline/json_text.h"
#include "stages/compression/gzip_member.h"
#include "stages/compression/zstd_frame.h"
#include "stages/errors.h"
#include "stages/io/input_file.h"
#include "stages/shards/shard_to_bytes.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string bytes_in(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  std::string digits;
  for (const char c : hex) {
    if (c != ' ') digits += c;
    if (digits.size() < 2) continue;
    bytes += static_cast<char>(std::stoi(digits, nullptr, 16));
    digits.clear();
  }
  return bytes;
}

/// A folder in which one corpus "c" was written in a format: by default the two documents of the published vectors.
class Written {
 public:
  explicit Written(const char* format, IdType type = IdType::i32,
                   const std::vector<std::vector<TokenId>>& documents = {{5, 6, 7}, {8, 9}},
                   const std::string& id = "id")
      : format_(*document_format(format)), rules_{type, 100, 9} {
    StagedFolder staged(path(), "{}");
    DocumentFiles files;
    files.corpus = corpus_.corpus = "c";
    files.id_type = type;
    files.tokenizer = "tiny.model";
    const auto writer = format_.writer(staged, files);
    for (const std::vector<TokenId>& ids : documents) {
      writer->add({ids, id, {"shard.jsonl", corpus_.documents, corpus_.documents + 1, 0}});
      ++corpus_.documents;
      corpus_.tokens += ids.size();
    }
    writer->finish();
    staged.publish({{"identity", Json::object()}});
  }

  fs::path path() const { return folder_.path() / "out"; }
  std::string bytes(const std::string& name) const { return bytes_in(path() / name); }
  void replace(const std::string& name, std::size_t offset, const std::string& bytes) const {
    std::fstream file(path() / name, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
  }
  std::vector<std::string> damage() const {
    std::vector<std::string> found;
    for (const Damage& damage : format_.check(path(), corpus_, rules_))
      found.push_back(damage.file + ": " + damage.what);
    return found;
  }

 private:
  TemporaryFolder folder_;
  const DocumentFormat& format_;
  WrittenCorpus corpus_;
  IdRules rules_;
};

/// Every document ends in eos, which is 9.
const std::vector<std::vector<TokenId>> kEnded{{5, 6, 7, 9}, {8, 9}};

TEST(Megatron, WritesThePublishedVector) {
  const Written written("megatron");
  EXPECT_EQ(written.bytes("c_text_document.idx"),
            bytes_of_hex("4d4d49444944580000 0100000000000000 04 0200000000000000 0300000000000000 03000000 02000000 "
                         "0000000000000000 0c00000000000000 0000000000000000 0100000000000000 0200000000000000"));
  EXPECT_EQ(written.bytes("c_text_document.bin"), bytes_of_hex("05000000 06000000 07000000 08000000 09000000"));
}

TEST(Megatron, HasSixteenBitsBelow65500EntriesAndNeverAnUnsigned32) {
  const DocumentFormat& format = *document_format("megatron");
  EXPECT_EQ(format.id_type(65'499), IdType::u16);
  EXPECT_EQ(format.id_type(65'500), IdType::i32);
  EXPECT_EQ(format.id_type(256'300), IdType::i32);
  const Written written("megatron", IdType::u16);
  EXPECT_EQ(written.bytes("c_text_document.bin"), bytes_of_hex("0500 0600 0700 0800 0900"));
  EXPECT_EQ(written.bytes("c_text_document.idx")[17], 8);
}

TEST(Megatron, CheckNamesTheByteOfWhatIsWrong) {
  const std::string idx = "c_text_document.idx", bin = "c_text_document.bin";
  EXPECT_THAT(Written("megatron", IdType::i32, kEnded).damage(), IsEmpty());
  const struct {
    const std::string& file;
    std::size_t offset;
    std::string bytes, said;
  } cases[] = {{idx, 0, "X", "byte 0: not the magic"},
               {idx, 9, "\2", "byte 9: the version is 2"},
               {idx, 17, "\10", "byte 17: the type of ids is 8, expected 4"},
               {idx, 26, "\4", "byte 26: the length of the document array is 4, expected 3"},
               {idx, 50, "\21", "byte 50: the offset of a sequence is 17, expected 16"},
               {idx, 66, "\3", "byte 66: the end of a document is 3, expected 1"},
               {bin, 4, "\377", "byte 4: id 255 is outside the vocabulary of 100"},
               {bin, 7, "\377", "byte 4: id -16777210 is outside"},
               {bin, 12, "\4", "byte 12: a document ends in id 4, not in eos (9)"}};
  for (const auto& damaged : cases) {
    const Written written("megatron", IdType::i32, kEnded);
    written.replace(damaged.file, damaged.offset, damaged.bytes);
    EXPECT_THAT(written.damage(), ElementsAre(HasSubstr(damaged.file + ": " + damaged.said)));
  }
}

TEST(Nanotron, WritesIdsEndsAndMetadata) {
  const Written written("nanotron", IdType::u32);
  EXPECT_EQ(written.bytes("c/00000_unshuffled.ds"), bytes_of_hex("05000000 06000000 07000000 08000000 09000000"));
  EXPECT_EQ(written.bytes("c/00000_unshuffled.ds.index"), bytes_of_hex("0300000000000000 0500000000000000"));
  EXPECT_EQ(written.bytes("c/00000_unshuffled.ds.metadata"), "tiny.model|4\n5\n5 tokens\n");
}

TEST(Nanotron, CheckNamesTheByteOfWhatIsWrong) {
  EXPECT_THAT(Written("nanotron", IdType::u16, kEnded).damage(), IsEmpty());
  const Written ids("nanotron", IdType::u16, kEnded);
  ids.replace("c/00000_unshuffled.ds", 8, std::string("\144\0", 2));
  EXPECT_THAT(ids.damage(), ElementsAre(HasSubstr("byte 8: id 100 is outside the vocabulary of 100")));
  const Written ends("nanotron", IdType::u16, kEnded);
  ends.replace("c/00000_unshuffled.ds.index", 8, "\5");
  EXPECT_FALSE(ends.damage().empty());
  const Written metadata("nanotron", IdType::u16, kEnded);
  metadata.replace("c/00000_unshuffled.ds.metadata", 0, "tiny.model|4");
  EXPECT_THAT(metadata.damage(), ElementsAre(HasSubstr(".ds.metadata")));
}

TEST(Olmo, CheckNamesTheLineOrByteOfWhatIsWrong) {
  EXPECT_THAT(Written("olmo", IdType::u16, kEnded).damage(), IsEmpty());
  const Written ids("olmo", IdType::u16, kEnded);
  ids.replace("c/part-00-00000.npy", 6, "\7");
  EXPECT_THAT(ids.damage(), ElementsAre(HasSubstr("byte 6: a document ends in id 7, not in eos (9)")));
  const Written csv("olmo", IdType::u16, kEnded);
  GzipMember other;
  const std::string begun = other.add("0,4,,,1\n3,6,,,2\n");
  csv.replace("c/part-00-00000.csv.gz", 0, begun + other.finish());
  EXPECT_THAT(csv.damage(), testing::Contains(HasSubstr("line 2: ids 3 to 6, but the line before ends at 4")));
}

TEST(Olmo, ADocumentIsOneLineWhateverItsIdHolds) {
  const Written written("olmo", IdType::u16, kEnded, "a\nb\r\n\"c\", d");
  const auto csv = open_bytes(std::make_unique<InputFile>((written.path() / "c" / "part-00-00000.csv.gz").string()),
                              Container::gzip);
  std::string text(1000, '\0');
  text.resize(csv->read(text.data(), text.size()).bytes);
  EXPECT_EQ(text, "0,4,\"a\\nb\\r\\n\"\"c\"\", d\",shard.jsonl,1\n4,6,\"a\\nb\\r\\n\"\"c\"\", d\",shard.jsonl,2\n");
  EXPECT_THAT(written.damage(), IsEmpty());
}

TEST(Mds, WritesThePublishedVector) {
  MdsConfig config;
  config.columns = {{"tokens", "ndarray:int32"}};
  MdsShard shard(config);
  shard.add({mds_array(std::vector<std::int32_t>{5, 6, 7})});
  shard.add({mds_array(std::vector<std::int32_t>{8, 9})});
  const std::string bytes = shard.bytes();
  EXPECT_EQ(bytes.size(), 229U);
  EXPECT_EQ(bytes.size(), shard.size());
  EXPECT_EQ(
      bytes,
      bytes_of_hex("02000000 c5000000 d7000000 e5000000") +
          "{\"column_encodings\": [\"ndarray:int32\"], \"column_names\": [\"tokens\"], \"column_sizes\": [null], "
          "\"compression\": null, \"format\": \"mds\", \"hashes\": [], \"size_limit\": 67108864, \"version\": 2}" +
          bytes_of_hex("0e000000 0403 05000000 06000000 07000000 0a000000 0402 08000000 09000000"));
}

TEST(Mds, ShapesTakeAsManyBytesAsTheirLengthNeeds) {
  EXPECT_EQ(mds_array(std::vector<float>(255)).substr(0, 2), bytes_of_hex("04 ff"));
  EXPECT_EQ(mds_array(std::vector<float>(256)).substr(0, 3), bytes_of_hex("05 0001"));
  EXPECT_EQ(mds_array(std::vector<float>(65536)).substr(0, 5), bytes_of_hex("06 00000100"));
  EXPECT_THROW(mds_array(std::vector<float>()), std::invalid_argument);
}

TEST(ZstdFrame, GivesItsContentAgainOrSaysThatItIsDamaged) {
  const std::string content(100'000, 'x');
  std::string frame = zstd_compressed(content);
  EXPECT_EQ(zstd_decompressed(frame, content.size()), content);
  EXPECT_THROW(zstd_decompressed(frame, content.size() - 1), DataError);
  EXPECT_THROW(zstd_decompressed(frame.substr(0, frame.size() - 3), content.size()), DataError);
  EXPECT_THROW(zstd_decompressed("", 5), DataError);
}

TEST(GzipMember, DoesNotDependOnHowItsContentIsCut) {
  std::string content;
  for (int i = 0; i < 20'000; ++i) content += std::to_string(i * 7919) + ",";
  GzipMember whole, pieces;
  std::string cut;
  for (std::size_t at = 0; at < content.size(); at += 777) cut += pieces.add(content.substr(at, 777));
  const std::string at_once = whole.add(content);
  EXPECT_EQ(cut + pieces.finish(), at_once + whole.finish());
}

}  // namespace
}  // namespace millrace
