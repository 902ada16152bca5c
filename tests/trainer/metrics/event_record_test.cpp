#include "trainer/metrics/event_record.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace millrace {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    for (const unsigned shift : {4U, 0U}) text += "0123456789abcdef"[static_cast<unsigned char>(byte) >> shift & 15U];
  }
  return text;
}

TEST(Crc32c, HasTheCheckValueOfTheStandard) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
}

TEST(Crc32c, IsThatOfItsPolynomialForBytesOfAnyLength) {
  const auto by_definition = [](std::string_view bytes) {
    std::uint32_t crc = ~0U;
    for (const char byte : bytes) {
      crc ^= static_cast<std::uint8_t>(byte);
      for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? crc >> 1U ^ 0x82F63B78U : crc >> 1U;
    }
    return ~crc;
  };
  std::string bytes;
  for (int i = 0; i < 1200; ++i) {
    EXPECT_EQ(crc32c(bytes), by_definition(bytes)) << i;
    bytes += static_cast<char>(i * i % 251 - 100);
  }
}

TEST(EventRecord, BeginsAFileWithItsVersion) {
  EXPECT_EQ(hex(version_record(1.0)),
            "1800000000000000a37f4b22"
            "09000000000000f03f1a0d627261696e2e4576656e743a32"
            "86bf577a");
}

TEST(EventRecord, HoldsAScalar) {
  SummaryRecord summary;
  summary.scalar("loss", 0.5);
  EXPECT_EQ(hex(summary.record(2.0, 7)),
            "1a00000000000000129bd82d"
            "09000000000000004010072a0d0a0b0a046c6f7373150000003f"
            "c33fc24a");
}

TEST(EventRecord, MarksWhereASessionStarts) {
  const std::string record = session_start_record(2.0, 300);
  EXPECT_EQ(hex(record.substr(12, record.size() - 16)),
            "090000000000000040"
            "10ac02"
            "3a020801");
}

TEST(EventRecord, SpreadsAHistogramOverItsRange) {
  SummaryRecord summary;
  const std::vector<double> values{0.25, 1, 0.25, 0.5};
  summary.histogram("h", values);
  const std::string record = hex(summary.record(0, 1));
  EXPECT_NE(record.find("09000000000000d03f"  // min 0.25
                        "11000000000000f03f"  // max 1
                        "190000000000001040"  // num 4
                        "210000000000000040"  // sum 2
                        "29000000000000f63f"  // sum of squares 1.375
                        "32f001"),            // 30 limits
            std::string::npos)
      << record;
  EXPECT_NE(record.find("000000000000f03f3af0010000000000000040"), std::string::npos)
      << "the last limit is the largest value; the first bucket holds two: " << record;
}

TEST(EventRecord, PutsEqualValuesIntoOneBucket) {
  SummaryRecord summary;
  const std::vector<double> values{0.5, 0.5};
  summary.histogram("h", values);
  EXPECT_NE(hex(summary.record(0, 1)).find("3208000000000000e03f3a080000000000000040"), std::string::npos);
}

}  // namespace
}  // namespace millrace
