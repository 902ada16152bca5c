#include "trainer/run/run_memory.h"

#include <system_error>

#include "pipeline/stream/pipeline_memory.h"

namespace millrace {

MemoryQuestion memory_question(const RunConfig& run, const std::vector<RunCorpus>& corpora,
                               const std::filesystem::path& vocabulary, int threads) {
  const StreamConfig stream = trained_stream(run);
  std::error_code none;
  const std::uintmax_t vocabulary_bytes = std::filesystem::file_size(vocabulary, none);
  const std::uint64_t pipeline =
      pipeline_bytes(stream, corpora, {.threads = threads, .batch_rows = run.train.batch_rows});
  return {.model = run.model,
          .train = run.train,
          .sequence_length = run.stream.sequence_length,
          .corpora = static_cast<int>(corpora.size()),
          .threads = threads,
          .pipeline = pipeline,
          .vocabulary = none ? 0 : vocabulary_bytes};
}

}  // namespace millrace
