// How fast shards are read, beside the tools they are read with: decompression alone, zstdcat FILE | wc -l, and
// simdjson on the lines in memory. Then what a seek costs, and how much memory reading takes.
//   bench_reader [SHARD...]    without shards it makes its own, in a temporary folder
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <simdjson.h>

#include "bench/json_shards.h"
#include "stages/shards/shard_to_bytes.h"
#include "stages/shards/shard_to_lines.h"
#include "stages/shards/shard_to_records.h"
#include "tests/temporary_folder.h"

namespace millrace {
namespace {

constexpr double kSecondsEach = 1.5;
constexpr int kLeastRuns = 3;
constexpr std::size_t kMadeBytes = 200'000'000;
constexpr std::size_t kMadeFrameBytes = 8'000'000;
constexpr std::size_t kMostLoadedBytes = 256'000'000;  // What simdjson is given of a large shard.

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The best time of each. They take turns, so that a machine that slows down slows all of them.
std::vector<double> best_seconds(const std::vector<std::function<void()>>& works) {
  std::vector<double> best(works.size(), 1e9), spent(works.size(), 0);
  for (int run = 0; run < kLeastRuns || *std::min_element(spent.begin(), spent.end()) < kSecondsEach; ++run) {
    for (std::size_t i = 0; i < works.size(); ++i) {
      if (run >= kLeastRuns && spent[i] >= kSecondsEach) continue;  // A quick one does not make a slow one run on.
      const double seconds = seconds_of(works[i]);
      best[i] = std::min(best[i], seconds);
      spent[i] += seconds;
    }
  }
  return best;
}

std::string quoted(const std::string& text) {
  std::string in_quotes = "'";
  for (const char c : text) in_quotes += c == '\'' ? R"('\'')" : std::string(1, c);
  return in_quotes + "'";
}

/// The number that a shell command prints.
std::uint64_t number_from(const std::string& command) {
  std::FILE* output = popen(command.c_str(), "r");
  unsigned long long number = 0;
  const bool found = output != nullptr && std::fscanf(output, "%llu", &number) == 1;
  if (output == nullptr || pclose(output) != 0 || !found) throw std::runtime_error("failed: " + command);
  return number;
}

struct Shard {
  std::string path;
  Container container = Container::plain;
  ReadOptions options;
  std::uint64_t file_bytes = 0;
  std::uint64_t json_bytes = 0;  // After decompression.
  std::uint64_t newlines = 0;
  std::uint64_t records = 0;
};

/// Calls `take` with the content piece by piece.
template <typename Take>
void decompress(const Shard& shard, const Take& take) {
  const auto bytes = open_bytes(std::make_unique<InputFile>(shard.path), shard.container);
  std::vector<char> buffer(512 << 10);
  for (;;) {
    const ByteStream::Piece piece = bytes->read(buffer.data(), buffer.size());
    if (piece.fault) throw std::runtime_error(fmt::format("{}: {}", shard.path, piece.fault->reason));
    if (piece.bytes == 0 || !take(std::string_view(buffer.data(), piece.bytes))) return;
  }
}

void decompress_first(const Shard& shard, std::uint64_t content_bytes) {
  std::uint64_t seen = 0;
  decompress(shard, [&](std::string_view bytes) { return (seen += bytes.size()) < content_bytes; });
}

std::uint64_t read_records(const Shard& shard) {
  const std::unique_ptr<RecordReader> reader = open_shard(shard.path, shard.options);
  Record record;
  std::uint64_t documents = 0;
  while (reader->next(record)) documents += std::holds_alternative<Document>(record) ? 1 : 0;
  if (documents == 0) throw std::runtime_error(shard.path + ": there is no document in it");
  return reader->next_record();
}

Shard survey(const std::string& path) {
  InputFile file(path);
  Shard shard{path, container_of(file), {}, std::filesystem::file_size(path)};
  if (shard.container == Container::parquet) throw std::runtime_error(path + ": only shards of lines are compared");
  shard.options.layout = detect_layout(path);
  decompress(shard, [&](std::string_view bytes) {
    shard.json_bytes += bytes.size();
    shard.newlines += static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
    return true;
  });
  shard.records = read_records(shard);
  return shard;
}

/// The lines of a shard's beginning, in memory, and simdjson's own parser for them.
class LoadedLines {
 public:
  explicit LoadedLines(const Shard& shard) {
    decompress(shard, [&](std::string_view bytes) {
      content_ += bytes;
      return content_.size() < kMostLoadedBytes;
    });
    bytes_ = content_.size();
    content_.append(simdjson::SIMDJSON_PADDING, ' ');
    std::size_t longest = 0;
    for (std::size_t begin = 0; begin < bytes_;) {
      const std::size_t end = std::min(content_.find('\n', begin), bytes_);
      if (end > begin) lines_.emplace_back(content_.data() + begin, end - begin);
      longest = std::max(longest, end - begin);
      begin = end + 1;
    }
    if (parser_.allocate(longest) != simdjson::SUCCESS) throw std::bad_alloc();
  }

  void parse() {
    std::size_t parsed = 0;
    for (const std::string_view line : lines_) {
      simdjson::dom::element root;
      if (parser_.parse(line.data(), line.size(), false).get(root) == simdjson::SUCCESS) ++parsed;
    }
    if (parsed == 0) throw std::runtime_error("no line of the shard is JSON");
  }

  std::size_t bytes() const { return bytes_; }

 private:
  std::string content_;
  std::size_t bytes_ = 0;
  std::vector<std::string_view> lines_;
  simdjson::dom::parser parser_;
};

const char* kind_of(const Shard& shard) {
  switch (shard.container) {
    case Container::zstd:
      return "zstd";
    case Container::gzip:
      return "gzip";
    default:
      return "plain";
  }
}

std::string count_lines_command(const Shard& shard) {
  const char* tool = shard.container == Container::zstd   ? "zstdcat"
                     : shard.container == Container::gzip ? "zcat"
                                                          : "cat";
  return fmt::format("{} {} | wc -l", tool, quoted(shard.path));
}

void print_speed(const std::vector<Shard>& shards) {
  fmt::print(
      "Speed: MB of JSON a second (10^6 bytes, after decompression), files in the page cache, best of several runs\n"
      "  read        open_shard to its end on one thread: decompress, cut, validate, parse, copy the text out\n"
      "  decompress  the same bytes on one thread, and nothing else: libzstd, zlib, or read(2) of a plain file\n"
      "  | wc -l     zstdcat FILE | wc -l (zcat, cat), which has more than one core to itself\n"
      "  simdjson    its DOM parser alone, on one thread, for the lines in memory\n"
      "  allowed     1 / (1/decompress + 1/simdjson): the two in turn on one core, and nothing beside them\n\n"
      "{:<26} {:>6} {:>8} {:>8}  {:>6} {:>10} {:>8} {:>8} {:>8}   {:>7} {:>10} {:>7}\n",
      "shard", "kind", "file MB", "JSON MB", "read", "decompress", "| wc -l", "simdjson", "allowed", "of that",
      "decompress", "| wc -l");
  for (const Shard& shard : shards) {
    LoadedLines loaded(shard);
    const std::string count_lines = count_lines_command(shard);
    const std::vector<double> seconds = best_seconds({
        [&] { read_records(shard); },
        [&] { decompress_first(shard, shard.json_bytes + 1); },
        [&] {
          if (number_from(count_lines) != shard.newlines) throw std::runtime_error("wrong count: " + count_lines);
        },
        [&] { loaded.parse(); },
    });
    const double json = static_cast<double>(shard.json_bytes) / 1e6;
    const double read = json / seconds[0], decompressed = json / seconds[1], counted = json / seconds[2];
    const double parsed = static_cast<double>(loaded.bytes()) / 1e6 / seconds[3];
    const double allowed = 1 / (1 / decompressed + 1 / parsed);
    fmt::print(
        "{:<26} {:>6} {:>8.1f} {:>8.1f}  {:>6.0f} {:>10.0f} {:>8.0f} {:>8.0f} {:>8.0f}   {:>5.0f} % {:>8.0f} % "
        "{:>5.0f} %\n",
        std::filesystem::path(shard.path).filename().string().substr(0, 26), kind_of(shard),
        static_cast<double>(shard.file_bytes) / 1e6, json, read, decompressed, counted, parsed, allowed,
        100 * read / allowed, 100 * read / decompressed, 100 * read / counted);
    std::fflush(stdout);
  }
}

/// The record in the middle of a shard, and the place from which a reader that got there says it can be reached.
struct Middle {
  std::uint64_t record = 0;
  std::uint64_t byte = 0;
  SeekPoint point;
};

Middle middle_of(const Shard& shard) {
  const std::unique_ptr<RecordReader> reader = open_shard(shard.path, shard.options);
  Record record;
  while (reader->next_record() < shard.records / 2 && reader->next(record)) {
  }
  Middle middle{reader->next_record(), 0, reader->seek_point()};
  if (reader->next(record)) middle.byte = std::visit([](const auto& kind) { return kind.where.byte; }, record);
  return middle;
}

void open_at(const Shard& shard, const Middle& middle, const SeekPoint& from) {
  Record record;
  const bool found = open_shard(shard.path, shard.options, middle.record, from)->next(record);
  const std::uint64_t byte = std::visit([](const auto& kind) { return kind.where.byte; }, record);
  if (!found || byte != middle.byte) throw std::runtime_error(shard.path + ": the seek went to another record");
}

void print_seek(const std::vector<Shard>& shards) {
  fmt::print(
      "\nSeek: milliseconds to open a shard and read the record in its middle\n"
      "  seek        from the place that an earlier reader named\n"
      "  from start  without such a place\n"
      "  decompress  what stands before the record, and nothing else\n"
      "  read again  MB of JSON before the record that the seek could not avoid\n\n"
      "{:<26} {:>6} {:>10} {:>8} {:>10} {:>10} {:>10}   {:>10}\n",
      "shard", "kind", "record", "seek", "from start", "decompress", "read again", "seek/decompress");
  for (const Shard& shard : shards) {
    const Middle middle = middle_of(shard);
    const std::vector<double> seconds = best_seconds({
        [&] { open_at(shard, middle, middle.point); },
        [&] { open_at(shard, middle, {}); },
        [&] { decompress_first(shard, middle.byte); },
    });
    fmt::print("{:<26} {:>6} {:>10} {:>8.2f} {:>10.2f} {:>10.2f} {:>10.2f}   {:>14.0f} %\n",
               std::filesystem::path(shard.path).filename().string().substr(0, 26), kind_of(shard), middle.record,
               seconds[0] * 1e3, seconds[1] * 1e3, seconds[2] * 1e3,
               static_cast<double>(middle.byte - middle.point.content) / 1e6, 100 * seconds[0] / seconds[2]);
  }
}

/// Reads a shard and prints the most memory that this process has had, in kB. (What wait4 says of a child would
/// count what its parent had before exec, too.)
int print_peak_of(const std::string& path) {
  ReadOptions options;
  Record record;
  const std::unique_ptr<RecordReader> reader = open_shard(path, options);
  while (reader->next(record)) {
  }
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::puts(line.c_str() + std::strlen("VmHWM:")) < 0 ? 1 : 0;
  }
  throw std::runtime_error("/proc/self/status has no VmHWM");
}

void print_memory(const TemporaryFolder& folder, const std::vector<Shard>& shards) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const auto print_row = [&](const std::string& what, const std::string& path) {
    const std::uint64_t peak = number_from(fmt::format("{} --peak {}", quoted(program), quoted(path)));
    fmt::print("{:<44} {:>8.1f} {:>8.1f}\n", what, static_cast<double>(std::filesystem::file_size(path)) / 1e6,
               static_cast<double>(peak) * 1024 / 1e6);
    std::fflush(stdout);
  };
  fmt::print("\nMemory: the most that a process of its own had resident while it read a shard\n\n{:<44} {:>8} {:>8}\n",
             "shard", "file MB", "peak MB");
  const std::string tiny = tiny_json_lines(1'000'000);
  const std::string large = json_line(20'000'000);
  print_row("nothing: the program itself", folder.write("empty.jsonl", ""));
  print_row("1,000,000 tiny records, plain", folder.write("tiny.jsonl", tiny));
  print_row("1,000,000 tiny records, zstd", folder.write("tiny.jsonl.zst", zstd_frames(tiny, tiny.size())));
  print_row("one record of 20 MB, plain", folder.write("large.jsonl", large));
  print_row("one record of 20 MB, zstd", folder.write("large.jsonl.zst", zstd_frames(large, large.size())));
  for (const Shard& shard : shards) print_row(std::filesystem::path(shard.path).filename().string(), shard.path);
}

std::vector<std::string> make_shards(const TemporaryFolder& folder) {
  const std::string lines = json_lines(kMadeBytes);
  const std::string_view part = std::string_view(lines).substr(0, lines.rfind('\n', kMadeBytes / 4) + 1);
  return {
      folder.write("plain.jsonl", lines),
      folder.write("many_frames.jsonl.zst", zstd_frames(lines, kMadeFrameBytes)),
      folder.write("one_frame.jsonl.zst", zstd_frames(lines, lines.size())),
      folder.write("quarter.jsonl.gz", gzip_member(part)),
  };
}

int run(std::vector<std::string> arguments) {
  if (arguments.size() == 2 && arguments[0] == "--peak") return print_peak_of(arguments[1]);
  const TemporaryFolder folder;
  if (arguments.empty()) arguments = make_shards(folder);
  std::vector<Shard> shards;
  for (const std::string& path : arguments) shards.push_back(survey(path));
  print_speed(shards);
  print_seek(shards);
  print_memory(folder, shards);
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) try {
  return millrace::run({argv + 1, argv + argc});
} catch (const std::exception& error) {
  fmt::print(stderr, "bench_reader: {}\n", error.what());
  return 1;
}
