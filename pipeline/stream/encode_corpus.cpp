#include "pipeline/stream/encode_corpus.h"

#include <optional>
#include <utility>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include "pipeline/stream/document_feed.h"

namespace millrace {

void encode_corpus(RecordSource& source, const CorpusEncoding& how, const std::function<bool(EncodedRecord)>& take) {
  const oneapi::tbb::global_control as_many_as_asked(oneapi::tbb::global_control::max_allowed_parallelism, how.threads);
  oneapi::tbb::task_arena arena(static_cast<int>(how.threads));
  arena.execute([&] {
    DocumentFeed::Control control;
    oneapi::tbb::flow::graph graph;
    std::optional<DocumentFeed> feed;
    const auto deliver = [&](EncodedRecord item) {
      const std::uint64_t credit = item.credit;
      if (take(std::move(item))) {
        feed->give_back(credit);
      } else {
        control.stopping = true;
      }
    };
    feed.emplace(graph, source, how.encode, deliver, how.bytes_in_flight, control);
    feed->begin();
    graph.wait_for_all();
  });
}

}  // namespace millrace
