#include "pipeline/stream/encode_corpus.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/errors.h"

namespace millrace {
namespace {

constexpr std::uint64_t kRecordBytes = 1024;  ///< What a record counts beside its text.

/// Documents of 0 to 4,000 bytes, numbered by their places.
class Numbered final : public RecordSource {
 public:
  explicit Numbered(std::uint64_t records) : records_(records) {}

  bool next(ReadRecord& item) override {
    if (read_ == fails_at) {
      item.container_rejects.emplace_back();
      throw DataError("the disk is gone");
    }
    if (read_ == records_) return false;
    most_on_their_way = std::max(most_on_their_way, bytes_ - taken_bytes);
    item = ReadRecord{};
    item.place.at.index = read_;
    item.record = Document{{}, std::string(read_ * 997 % 4001, 'x'), {}};
    bytes_ += bytes_of(read_++);
    return true;
  }
  static std::uint64_t bytes_of(std::uint64_t number) { return kRecordBytes + number * 997 % 4001; }
  std::uint64_t read() const { return read_; }

  std::uint64_t fails_at = ~0ull;
  std::atomic<std::uint64_t> taken_bytes = 0;
  std::uint64_t most_on_their_way = 0;  ///< Before a record was read.

 private:
  std::uint64_t records_;
  std::uint64_t read_ = 0;
  std::uint64_t bytes_ = 0;
};

/// As long as it pleases: later records may be ready first.
EncodedRecord encode(ReadRecord record) {
  EncodedRecord encoded;
  encoded.place = record.place;
  if (record.place.at.index % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
  encoded.tokens.assign(1 + std::get<Document>(record.record).text.size() % 5, 1);
  return encoded;
}

std::vector<std::uint64_t> numbers_to(std::uint64_t end) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < end; ++i) numbers.push_back(i);
  return numbers;
}

constexpr std::size_t kThreads[] = {1, 2, 8};

TEST(EncodingACorpus, GivesTheSameRecordsInTheOrderOfReadingWithOneTwoAndEightThreads) {
  for (const std::size_t threads : kThreads) {
    for (const std::uint64_t bytes : {1ull, 10'000ull, 1ull << 20}) {
      Numbered source(500);
      std::vector<std::uint64_t> taken;
      encode_corpus(source, {encode, threads, bytes}, [&](const EncodedRecord& item) {
        taken.push_back(item.place.at.index);
        return true;
      });
      EXPECT_EQ(taken, numbers_to(500)) << threads << " threads, " << bytes << " bytes";
    }
  }
}

TEST(EncodingACorpus, HasNoMoreBytesOnTheirWayThanWereAllowedAndOneRecord) {
  for (const std::size_t threads : kThreads) {
    for (const std::uint64_t bytes : {1ull, 10'000ull, 100'000ull}) {
      Numbered source(500);
      encode_corpus(source, {encode, threads, bytes}, [&](const EncodedRecord& item) {
        source.taken_bytes += Numbered::bytes_of(item.place.at.index);
        return true;
      });
      EXPECT_EQ(source.read(), 500U);
      EXPECT_LT(source.most_on_their_way, bytes) << threads << " threads";
    }
  }
}

TEST(EncodingACorpus, ReadsOnlyWhatIsAllowedWhileTheFirstRecordIsNotReady) {
  Numbered source(500);
  std::atomic<bool> first = true;
  const auto slowly = [&](ReadRecord record) {
    if (first.exchange(false)) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return encode(std::move(record));
  };
  std::uint64_t read_before = 0;
  encode_corpus(source, {slowly, 8, 20'000}, [&](const EncodedRecord& item) {
    if (item.place.at.index == 0) read_before = source.read();
    return true;
  });
  EXPECT_THAT(read_before, testing::AllOf(testing::Gt(1U), testing::Le(20U)));
}

TEST(EncodingACorpus, EndsSoonWhenNobodyWantsMore) {
  for (const std::size_t threads : kThreads) {
    Numbered source(1'000'000'000);
    std::vector<std::uint64_t> taken;
    encode_corpus(source, {encode, threads, 50'000}, [&](const EncodedRecord& item) {
      taken.push_back(item.place.at.index);
      return taken.size() < 30;
    });
    EXPECT_EQ(taken, numbers_to(30)) << threads;
    EXPECT_LE(source.read(), 30U + 50U) << threads;
  }
}

TEST(EncodingACorpus, HandsOutWhatReadingThrewBehindAllThatWasReadBefore) {
  for (const std::size_t threads : kThreads) {
    Numbered source(500);
    source.fails_at = 40;
    std::vector<std::uint64_t> taken;
    std::exception_ptr failure;
    encode_corpus(source, {encode, threads, 1 << 20}, [&](const EncodedRecord& item) {
      EXPECT_EQ(failure, nullptr) << "nothing comes behind it";
      if (item.kind == EncodedRecord::Kind::failure) {
        EXPECT_EQ(item.rejects.size(), 1U) << "damage met before it";
        failure = item.failure;
      } else {
        taken.push_back(item.place.at.index);
      }
      return true;
    });
    EXPECT_EQ(taken, numbers_to(40));
    ASSERT_NE(failure, nullptr);
    EXPECT_THROW(std::rethrow_exception(failure), DataError);
  }
}

TEST(EncodingACorpus, HandsOutWhatEncodingThrewInItsPlace) {
  for (const std::size_t threads : kThreads) {
    Numbered source(100);
    const auto breaks = [](ReadRecord record) {
      if (record.place.at.index == 13) throw std::runtime_error("broken");
      return encode(std::move(record));
    };
    std::vector<std::size_t> failures;
    std::size_t taken = 0;
    encode_corpus(source, {breaks, threads, 1 << 20}, [&](const EncodedRecord& item) {
      if (item.kind == EncodedRecord::Kind::failure) failures.push_back(taken);
      ++taken;
      return true;
    });
    EXPECT_EQ(failures, std::vector<std::size_t>{13});
    EXPECT_EQ(taken, 100U);
  }
}

TEST(EncodingACorpus, ThrowsWhatItsTakerThrows) {
  for (const std::size_t threads : kThreads) {
    Numbered source(1'000'000'000);
    const auto refuse = [](const EncodedRecord& item) -> bool {
      if (item.place.at.index == 20) throw DataError("too much is bad");
      return true;
    };
    EXPECT_THROW(encode_corpus(source, {encode, threads, 50'000}, refuse), DataError) << threads;
  }
}

}  // namespace
}  // namespace millrace
