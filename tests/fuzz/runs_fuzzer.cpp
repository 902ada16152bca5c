// Run files: each is refused with the location of the error, or the texts stored in its run folder load as the same
// run.
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "stages/errors.h"
#include "tests/fuzz/require.h"
#include "trainer/config/run_config.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMix =
    "name = \"m\"\n[[corpus]]\nname = \"c\"\nkind = \"text\"\nshare = 100\nshards = [\"c.jsonl\"]\n";
constexpr const char* kObjective =
    "name = \"o\"\nlayout = \"full\"\n[[denoiser]]\nname = \"d\"\nkind = \"causal\"\nshare = 100\n";

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

/// A folder with the mix and the objective that the seeds name; removed when the program ends.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("millrace-runs-fuzzer-" + std::to_string(getpid()))) {
    write(path_ / "mix.toml", kMix);
    write(path_ / "objective.toml", kObjective);
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void try_run(const std::string& text) {
  static const Folder folder;
  const fs::path file = folder.path() / "run.toml";
  write(file, text);
  RunConfig run;
  try {
    run = load_run({file.string(), "", {}});
  } catch (const ConfigError& error) {
    // The run file, or one that it names.
    require(std::string(error.what()).starts_with("/"), "a refusal begins with the file");
    return;
  }
  const fs::path again = folder.path() / "again";
  for (const auto& [name, resolved] : run.resolved) write(again / name, resolved);
  try {
    require(load_run({again.string(), "", {}}).resolved == run.resolved, "a run folder holds the same run");
  } catch (const ConfigError&) {
    require(false, "a run folder can be opened again");
  }
}

}  // namespace
}  // namespace millrace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  millrace::try_run({reinterpret_cast<const char*>(data), size});
  return 0;
}
