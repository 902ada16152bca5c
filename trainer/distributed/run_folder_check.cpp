#include "trainer/distributed/run_folder_check.h"

#include <cstddef>

#include <fmt/format.h>
#include <unistd.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "stages/errors.h"
#include "stages/io/atomic_file.h"
#include "stages/io/whole_file.h"
#include "trainer/distributed/orders.h"

namespace millrace {

namespace fs = std::filesystem;

fs::path rank_file(const fs::path& run_folder, int rank, const std::string& ending) {
  return run_folder / "ranks" / fmt::format("{:04}.{}", rank, ending);
}

void tell_run(Communicator& ranks, const std::vector<RankFacts>& all, const BegunRun& run) {
  const fs::path folder = fs::absolute(run.folder).lexically_normal();
  const fs::path sign = folder / "ranks" / "seen";
  const std::string word = fmt::format("{} {} {}", all.front().host, getpid(), folder.string());
  fs::create_directories(sign.parent_path());
  write_file_atomically(sign, word);
  give_order(ranks, {.kind = OrderKind::begin},
             json_line(Json{{"folder", folder.string()}, {"word", word}, {"stall_seconds", run.stall_seconds}}));
  const std::vector<std::string> answers = gather_texts(ranks, "");
  fs::remove(sign);
  for (std::size_t rank = 1; rank < answers.size(); ++rank)
    if (!answers[rank].empty())
      throw ConfigError(fmt::format("{} does not see {}: {}. It must be a folder that all machines share",
                                    name_of_rank(all, static_cast<int>(rank)), folder.string(), answers[rank]));
}

BegunRun see_run(Communicator& ranks, const std::string& text) {
  const JsonValue told = JsonValue::parse(text, {.name = "what rank 0 says", .line = 0, .remedy = ""});
  const fs::path folder = told.get<std::string>("folder");
  std::string fault;
  try {
    if (read_whole_file(folder / "ranks" / "seen") != told.get<std::string>("word"))
      fault = "ranks/seen there is not rank 0's";
  } catch (const std::exception& error) {
    fault = error.what();
  }
  gather_texts(ranks, fault);
  return {folder, told.get<double>("stall_seconds")};
}

}  // namespace millrace
