#include "pipeline/corpora/foreign_shards.h"

#include <optional>

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include "stages/errors.h"
#include "stages/shards/shard_to_records.h"

namespace millrace {
namespace {

constexpr std::size_t kMostNamed = 10;

}  // namespace

void refuse_foreign(const std::vector<std::string>& files, const std::string& layout) {
  std::vector<std::optional<ForeignContainer>> foreign(files.size());
  oneapi::tbb::parallel_for(std::size_t{0}, files.size(),
                            [&](std::size_t i) { foreign[i] = foreign_shard(files[i], layout); });
  std::string named;
  std::size_t count = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (foreign[i] && count++ < kMostNamed) named += fmt::format("\n  {}: {}", files[i], foreign[i]->told());
  }
  if (count == 0) return;
  if (count == 1) throw ConfigError(named.substr(named.find_first_not_of("\n ")));
  if (count > kMostNamed) named += fmt::format("\n  and {} more", count - kMostNamed);
  throw ConfigError(fmt::format("{} of {} files are no shards:{}", count, files.size(), named));
}

}  // namespace millrace
