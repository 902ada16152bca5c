#include "stages/listing/shard_names.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "stages/listing/glob.h"

namespace millrace {
namespace {

struct NamePattern {
  const char* pattern;
  PassedOver why;
};

constexpr std::array kNoShards{
    NamePattern{"*.tmp", PassedOver::unfinished},
    NamePattern{"*.temp", PassedOver::unfinished},
    NamePattern{"*~", PassedOver::unfinished},
    NamePattern{"*.bak", PassedOver::unfinished},
    NamePattern{"*.orig", PassedOver::unfinished},
    NamePattern{"*.old", PassedOver::unfinished},
    NamePattern{"*.incomplete", PassedOver::unfinished},
    NamePattern{"*.part", PassedOver::unfinished},
    NamePattern{"*.partial", PassedOver::unfinished},
    NamePattern{"*.crdownload", PassedOver::unfinished},
    NamePattern{"*.download", PassedOver::unfinished},
    NamePattern{"*.aria2", PassedOver::unfinished},
    NamePattern{"*.swp", PassedOver::unfinished},
    NamePattern{"*.lock", PassedOver::unfinished},
    NamePattern{"_SUCCESS", PassedOver::mark},
    NamePattern{"_FAILURE", PassedOver::mark},
    NamePattern{"_started_*", PassedOver::mark},
    NamePattern{"_committed_*", PassedOver::mark},
    NamePattern{"_metadata", PassedOver::mark},
    NamePattern{"_common_metadata", PassedOver::mark},
    NamePattern{"*.md5", PassedOver::checksum},
    NamePattern{"*.md5sum", PassedOver::checksum},
    NamePattern{"*.sha1", PassedOver::checksum},
    NamePattern{"*.sha1sum", PassedOver::checksum},
    NamePattern{"*.sha256", PassedOver::checksum},
    NamePattern{"*.sha256sum", PassedOver::checksum},
    NamePattern{"*.sha512", PassedOver::checksum},
    NamePattern{"*.sha512sum", PassedOver::checksum},
    NamePattern{"*.b2sum", PassedOver::checksum},
    NamePattern{"*.b3sum", PassedOver::checksum},
    NamePattern{"*.xxh3", PassedOver::checksum},
    NamePattern{"*.xxh64", PassedOver::checksum},
    NamePattern{"*.crc", PassedOver::checksum},
    NamePattern{"*.crc32", PassedOver::checksum},
    NamePattern{"*.crc32c", PassedOver::checksum},
    NamePattern{"*SUMS", PassedOver::checksum},
    NamePattern{"*SUMS.txt", PassedOver::checksum},
    NamePattern{"*.rejects.jsonl", PassedOver::own},
    NamePattern{"millrace-index.json", PassedOver::own},
    NamePattern{"dataset_info.json", PassedOver::json_document},
    NamePattern{"dataset_infos.json", PassedOver::json_document},
    NamePattern{"dataset_dict.json", PassedOver::json_document},
};

/// Compressions that are read, and those that are refused with an error instead of being passed over.
constexpr std::array<std::string_view, 12> kPackings{".gz",  ".zst", ".zstd", ".bz2", ".xz",  ".lzma",
                                                     ".lz4", ".lz",  ".sz",   ".Z",   ".zip", ".snappy"};

std::string_view without_packing(std::string_view name) {
  for (const std::string_view packing : kPackings) {
    if (name.ends_with(packing)) return name.substr(0, name.size() - packing.size());
  }
  return name;
}

}  // namespace

const char* name_of(PassedOver why) {
  static constexpr std::array kNames{"unreadable folders",
                                     "dangling links",
                                     "out of reach",
                                     "links to folders whose files are named already",
                                     "other names of files that are read already",
                                     "FIFOs, sockets, devices",
                                     "unfinished or temporary",
                                     "JSON documents",
                                     "marks of other programs",
                                     "checksums",
                                     "written by millrace index",
                                     "hidden",
                                     "other files"};
  return kNames.at(static_cast<std::size_t>(why));
}

std::optional<PassedOver> plainly_no_shard(const std::string& name) {
  if (name.starts_with('.')) return PassedOver::hidden;
  const auto* found =
      std::ranges::find_if(kNoShards, [&name](const NamePattern& none) { return matches_name(none.pattern, name); });
  return found == kNoShards.end() ? std::nullopt : std::optional(found->why);
}

bool is_shard_name(const std::string& name) {
  const std::string_view unpacked = without_packing(name);
  return name.find(".jsonl") != std::string::npos || unpacked.ends_with(".ndjson") || unpacked.ends_with(".json") ||
         unpacked.ends_with(".parquet");
}

bool is_json_name(const std::string& name) {
  return without_packing(name).ends_with(".json");
}

}  // namespace millrace
