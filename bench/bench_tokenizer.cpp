// Millrace's tokenizer beside libsentencepiece, in one process, on the same documents: every id is compared.
//   bench_tokenizer VOCAB.model DATA    DATA has folders redpajama/ and the_stack/, as far as it has them
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "stages/io/input_file.h"
#include "stages/listing/shard_list.h"
#include "stages/philox.h"
#include "stages/shards/shard_to_bytes.h"
#include "stages/shards/shard_to_records.h"
#include "stages/tokenizer/unigram_encoder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kColdBytes = 8'000'000;
constexpr std::size_t kTurnBytes = 1'000'000;  // They take turns, so that a machine that slows down slows both.
constexpr std::size_t kShortBytes = 4096;
constexpr std::size_t kLongBytes = 16'000'000;
constexpr std::size_t kRandomBytes = 16'000'000;
constexpr double kMega = 1e6;

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

using Documents = std::vector<std::string>;

std::size_t bytes_of(const Documents& documents) {
  std::size_t bytes = 0;
  for (const std::string& document : documents) bytes += document.size();
  return bytes;
}

/// Encoder and peer, made of the same bytes.
struct Subjects {
  explicit Subjects(const std::string& path) {
    bytes = read_vocabulary_bytes(path);
    const double ours = seconds_of([&] {
      model = read_vocabulary_file(bytes).value();
      const std::string why_not = UnigramEncoder::why_not(model);
      if (!why_not.empty()) throw std::runtime_error(path + ": " + why_not);
      encoder = std::make_unique<UnigramEncoder>(model);
    });
    const double theirs = seconds_of([&] {
      if (!peer.LoadFromSerializedProto(bytes).ok()) throw std::runtime_error(path + ": not a model");
    });
    fmt::print("{}: {} pieces; made ready in {:.2f} s, libsentencepiece in {:.2f} s; {} MB of cache a thread\n\n", path,
               model.pieces.size(), ours, theirs, UnigramEncoder::kCacheBytes >> 20);
  }

  std::string bytes;
  VocabularyFile model;
  std::unique_ptr<UnigramEncoder> encoder;
  sentencepiece::SentencePieceProcessor peer;
};

Documents documents_in(const std::vector<fs::path>& folders) {
  Documents documents;
  for (const fs::path& folder : folders) {
    if (!fs::exists(folder)) continue;
    for (const std::string& shard : list_shards({folder.string()}, "").names) {
      const auto reader = open_shard(shard, {detect_layout(shard)});
      for (Record record; reader->next(record);) {
        if (auto* document = std::get_if<Document>(&record)) documents.push_back(std::move(document->text));
      }
    }
  }
  return documents;
}

/// Words of 2 to 12 random letters, none met twice.
Documents random_words() {
  Documents documents;
  ItemRng rng(1, Purpose::generation, 0);
  std::size_t bytes = 0;
  while (bytes < kRandomBytes) {
    std::string text;
    while (text.size() < kShortBytes) {
      const std::uint64_t length = 2 + rng.below(11);
      for (std::uint64_t i = 0; i < length; ++i) text += static_cast<char>('a' + rng.below(26));
      text += ' ';
    }
    bytes += text.size();
    documents.push_back(std::move(text));
  }
  return documents;
}

struct Rate {
  double bytes = 0, ours = 0, theirs = 0;
  void add(std::size_t size, double our_seconds, double their_seconds) {
    bytes += static_cast<double>(size);
    ours += our_seconds;
    theirs += their_seconds;
  }
  std::string text() const {
    return fmt::format("{:7.1f} {:6.1f} {:6.1f}x", bytes / ours / kMega, bytes / theirs / kMega, theirs / ours);
  }
};

/// One pass, caches empty at its beginning.
void compare(const Subjects& subjects, const std::string& kind, const Documents& documents) {
  const std::size_t total = bytes_of(documents);
  if (total == 0) {
    fmt::print("{:<22} no documents here\n", kind);
    return;
  }
  UnigramEncoder::Memory memory(*subjects.encoder);
  Rate cold, second_half, all;
  std::size_t done = 0, differences = 0, tokens = 0;
  std::vector<std::vector<TokenId>> ours;
  std::vector<std::vector<int>> theirs;
  for (std::size_t first = 0; first < documents.size();) {
    std::size_t last = first, bytes = 0;
    while (last < documents.size() && bytes < kTurnBytes) bytes += documents[last++].size();
    ours.assign(last - first, {});
    theirs.assign(last - first, {});
    const double our_seconds = seconds_of([&] {
      for (std::size_t i = first; i < last; ++i) subjects.encoder->encode(documents[i], memory, ours[i - first]);
    });
    const double their_seconds = seconds_of([&] {
      for (std::size_t i = first; i < last; ++i) (void)subjects.peer.Encode(documents[i], &theirs[i - first]);
    });
    for (std::size_t i = 0; i < ours.size(); ++i) {
      differences += ours[i] != theirs[i] ? 1 : 0;
      tokens += ours[i].size();
    }
    if (done < kColdBytes) cold.add(bytes, our_seconds, their_seconds);
    if (done >= total / 2) second_half.add(bytes, our_seconds, their_seconds);
    all.add(bytes, our_seconds, their_seconds);
    done += bytes;
    first = last;
  }
  fmt::print("{:<22} {:6.1f} {:9} {:10}  {}  {}  {}  {}\n", kind, static_cast<double>(total) / kMega, documents.size(),
             tokens, cold.text(), second_half.text(), all.text(), differences);
}

void encode_all(const UnigramEncoder& encoder, UnigramEncoder::Memory& memory, const Documents& documents,
                std::size_t first, std::size_t step) {
  std::vector<TokenId> ids;
  for (std::size_t i = first; i < documents.size(); i += step) {
    ids.clear();
    encoder.encode(documents[i], memory, ids);
  }
}

constexpr int kPasses = 5;

/// The best of some passes with caches that have seen the text.
void two_threads(const Subjects& subjects, const Documents& documents) {
  std::array<UnigramEncoder::Memory, 2> memories{UnigramEncoder::Memory(*subjects.encoder),
                                                 UnigramEncoder::Memory(*subjects.encoder)};
  double one = 1e9, two = 1e9;
  for (int pass = 0; pass < kPasses; ++pass) {
    one = std::min(one, seconds_of([&] { encode_all(*subjects.encoder, memories[0], documents, 0, 1); }));
    two = std::min(two, seconds_of([&] {
                     auto other = std::async(std::launch::async,
                                             [&] { encode_all(*subjects.encoder, memories[1], documents, 1, 2); });
                     encode_all(*subjects.encoder, memories[0], documents, 0, 2);
                     other.get();
                   }));
  }
  const double bytes = static_cast<double>(bytes_of(documents)) / kMega;
  fmt::print("two threads: {:.1f} MB/s, one {:.1f}: {:.2f}x\n", bytes / two, bytes / one, one / two);
}

void long_document(const Subjects& subjects, const Documents& documents) {
  std::string text;
  for (const std::string& document : documents) {
    if (text.size() < kLongBytes) text += document + "\n";
  }
  text.resize(std::min(text.size(), kLongBytes));
  Documents pieces;
  for (std::size_t at = 0; at < text.size(); at += kShortBytes) pieces.push_back(text.substr(at, kShortBytes));
  UnigramEncoder::Memory memory(*subjects.encoder);
  const Documents whole{text};
  double in_one = 1e9, in_pieces = 1e9;
  for (int pass = 0; pass < kPasses; ++pass) {
    in_pieces = std::min(in_pieces, seconds_of([&] { encode_all(*subjects.encoder, memory, pieces, 0, 1); }));
    in_one = std::min(in_one, seconds_of([&] { encode_all(*subjects.encoder, memory, whole, 0, 1); }));
  }
  std::vector<TokenId> ours;
  std::vector<int> theirs;
  subjects.encoder->encode(text, memory, ours);
  (void)subjects.peer.Encode(text, &theirs);
  fmt::print("one document of {:.1f} MB: {:.1f} MB/s; in documents of 4 KB: {:.1f} ({:.2f}x slower), differences: {}\n",
             static_cast<double>(text.size()) / kMega, static_cast<double>(text.size()) / in_one / kMega,
             static_cast<double>(text.size()) / in_pieces / kMega, in_one / in_pieces, ours == theirs ? 0 : 1);
}

/// Compressed JSON lines to ids on two threads: each takes records off the reader in turn and encodes them.
double stream(const std::vector<std::string>& shards, const std::function<std::size_t(std::string_view)>& encode) {
  return seconds_of([&] {
    for (const std::string& shard : shards) {
      const auto reader = open_shard(shard, {detect_layout(shard)});
      std::mutex mutex;
      const auto work = [&] {
        std::vector<std::string> texts;
        for (bool more = true; more;) {
          texts.clear();
          {
            const std::lock_guard lock(mutex);
            Record record;
            for (std::size_t bytes = 0; bytes < kTurnBytes / 8 && more;) {
              more = reader->next(record);
              if (auto* document = more ? std::get_if<Document>(&record) : nullptr) {
                bytes += document->text.size();
                texts.push_back(std::move(document->text));
              }
            }
          }
          for (const std::string& text : texts) encode(text);
        }
      };
      auto other = std::async(std::launch::async, work);
      work();
      other.get();
    }
  });
}

void streaming(const Subjects& subjects, const fs::path& data) {
  std::vector<std::string> shards;
  double bytes = 0;
  std::vector<char> buffer(kTurnBytes);
  for (const std::string& shard : list_shards({(data / "redpajama").string()}, "").names) {
    if (!shard.ends_with(".zst")) continue;
    shards.push_back(shard);
    const auto content = open_bytes(std::make_unique<InputFile>(shard), Container::zstd);
    for (std::size_t read = 1; read > 0; bytes += static_cast<double>(read)) {
      read = content->read(buffer.data(), buffer.size()).bytes;
    }
  }
  if (shards.empty()) return;
  const auto ours = [&](std::string_view text) {
    thread_local std::unique_ptr<UnigramEncoder::Memory> memory;
    thread_local std::vector<TokenId> ids;
    if (memory == nullptr) memory = std::make_unique<UnigramEncoder::Memory>(*subjects.encoder);
    ids.clear();
    subjects.encoder->encode(text, *memory, ids);
    return ids.size();
  };
  const auto theirs = [&](std::string_view text) {
    thread_local std::vector<int> ids;
    ids.clear();
    (void)subjects.peer.Encode(text, &ids);
    return ids.size();
  };
  double our_seconds = 1e9, their_seconds = 1e9;
  for (int pass = 0; pass < 2; ++pass) {
    our_seconds = std::min(our_seconds, stream(shards, ours));
    their_seconds = std::min(their_seconds, stream(shards, theirs));
  }
  fmt::print(
      "{} shards of zstd JSON lines to ids, two threads: {:.1f} MB/s of JSON lines, with libsentencepiece {:.1f}: "
      "{:.1f}x\n",
      shards.size(), bytes / our_seconds / kMega, bytes / their_seconds / kMega, their_seconds / our_seconds);
}

void run(const std::string& vocabulary, const fs::path& data) {
  const Subjects subjects(vocabulary);
  fmt::print("{:<22} {:>6} {:>9} {:>10}  {:<22}  {:<22}  {:<22}  {}\n", "", "", "", "", "first 8 MB: ours, lib",
             "second half: ours, lib", "all: ours, lib", "");
  fmt::print("{:<22} {:>6} {:>9} {:>10}  {:>7} {:>6} {:>7}  {:>7} {:>6} {:>7}  {:>7} {:>6} {:>7}  {}\n", "text", "MB",
             "documents", "tokens", "MB/s", "MB/s", "", "MB/s", "MB/s", "", "MB/s", "MB/s", "", "differences");
  const fs::path red = data / "redpajama";
  const Documents english = documents_in({red / "c4", red / "book", red / "arxiv", red / "stackexchange"});
  compare(subjects, "English", english);
  compare(subjects, "code", documents_in({data / "the_stack"}));
  compare(subjects, "code, Parquet alone", documents_in({data / "the_stack/data"}));
  compare(subjects, "many languages", documents_in({red / "common_crawl", red / "wikipedia"}));
  compare(subjects, "random words", random_words());
  fmt::print("\n");
  two_threads(subjects, english);
  long_document(subjects, english);
  streaming(subjects, data);
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: bench_tokenizer VOCAB.model DATA\n");
    return 2;
  }
  try {
    millrace::run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_tokenizer: {}\n", error.what());
    return 1;
  }
  return 0;
}
