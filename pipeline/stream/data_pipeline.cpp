#include "pipeline/stream/data_pipeline.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <iterator>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include "pipeline/mix/document_chunk.h"
#include "pipeline/mix/mixer.h"
#include "pipeline/mix/record_to_tokens.h"
#include "pipeline/reading/corpus_reader.h"
#include "pipeline/rows/start_position.h"
#include "pipeline/stream/batch_queue.h"
#include "pipeline/stream/document_feed.h"
#include "pipeline/stream/row_packer.h"
#include "stages/errors.h"

namespace millrace {
namespace {

namespace flow = oneapi::tbb::flow;

/// What flows through the graph. Messages are copied, so each is a pointer with a number or two.
struct DocumentMessage {
  std::size_t corpus = 0;
  std::shared_ptr<EncodedRecord> item;
};
struct ExamplePacked {};
using MixMessage = std::variant<DocumentMessage, ExamplePacked>;

/// A ticket on its way to becoming part of a row.
struct PendingExample {
  MixedSegment ticket;
  Example example;
};
using ExampleMessage = std::shared_ptr<PendingExample>;

/// Tickets between mix and pack, for each thread: enough that no thread idles, few enough to bound memory.
constexpr std::size_t kTicketsPerThread = 4;

void pass_on(std::vector<Reject>& rejects, const std::vector<std::uint32_t>& corpora, StreamRow& row) {
  std::ranges::move(rejects, std::back_inserter(row.rejects));
  row.reject_corpora.insert(row.reject_corpora.end(), corpora.begin(), corpora.end());
}

}  // namespace

struct DataPipeline::Impl {
  Impl(const StreamConfig& stream, std::vector<RunCorpus> found, const Vocabulary& vocabulary_of_run,
       std::optional<StreamPosition> start, const Options& given);
  void run();

  // The bodies of the graph's nodes, in the data's order.
  EncodedRecord encode(std::size_t corpus, ReadRecord record) const;
  std::vector<ExampleMessage> mix(const MixMessage& message);
  void corrupt(PendingExample& making) const;
  void pack(PendingExample& making);
  bool deliver(std::optional<StreamRow> row);
  void finish(MixedSegment& ticket);

  // Constant.
  const StreamConfig config;
  const Vocabulary& vocabulary;
  const Options options;
  const std::vector<RunCorpus> corpora;
  const std::vector<ReadingPlan> reading;
  const std::vector<PreparedPhase> plans;
  const StreamPosition first;
  const std::uint64_t max_document_tokens;
  const std::size_t max_tickets;

  // Each touched by one serial node only.
  std::vector<CorpusReader> readers;
  Mixer mixer;
  std::size_t tickets_in_flight = 0;
  RowPacker packer;
  Batch batch;
  bool ended = false;

  // Synchronise themselves.
  DocumentFeed::Control control;
  BatchQueue queue;
  std::optional<oneapi::tbb::global_control> more_threads;
  std::thread thread;
};

DataPipeline::Impl::Impl(const StreamConfig& stream, std::vector<RunCorpus> found, const Vocabulary& vocabulary_of_run,
                         std::optional<StreamPosition> start, const Options& given)
    : config(stream),
      vocabulary(vocabulary_of_run),
      options(given),
      corpora(std::move(found)),
      reading(reading_plans(config, corpora)),
      plans(prepare_phases(config, corpora, vocabulary)),
      first(start ? adapted_position(*start, config, corpora) : start_of(config, corpora)),
      max_document_tokens(max_document_tokens_of(config)),
      max_tickets(kTicketsPerThread * static_cast<std::size_t>(given.threads)),
      mixer(config, corpora, plans, first),
      packer(config, vocabulary.pad()),
      queue(given.queued_batches) {
  readers.reserve(corpora.size());
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    readers.emplace_back(config, corpora[i], reading[i], first.corpora[i].read_start());
  }
  const auto threads = static_cast<std::size_t>(options.threads);
  if (threads > oneapi::tbb::global_control::active_value(oneapi::tbb::global_control::max_allowed_parallelism))
    more_threads.emplace(oneapi::tbb::global_control::max_allowed_parallelism, threads);
}

//   feed  >  mix  > corrupt > order > pack > (batch queue)
//    ^-credit-' ^----- examples packed -'
// One feed per corpus; one of each of the others.
void DataPipeline::Impl::run() {
  flow::graph graph;
  std::vector<std::unique_ptr<DocumentFeed>> feeds;
  using MixNode = flow::multifunction_node<MixMessage, std::tuple<ExampleMessage>>;
  MixNode mix_node(graph, flow::serial, [this, &feeds](const MixMessage& message, MixNode::output_ports_type& ports) {
    for (const ExampleMessage& making : mix(message)) std::get<0>(ports).try_put(making);
    for (std::size_t corpus = 0; corpus < feeds.size(); ++corpus)
      if (const std::uint64_t credit = mixer.take_credit(corpus); credit > 0) feeds[corpus]->give_back(credit);
  });
  flow::function_node<ExampleMessage, ExampleMessage> corrupt_node(graph, flow::unlimited,
                                                                   [this](ExampleMessage making) {
                                                                     corrupt(*making);
                                                                     return making;
                                                                   });
  flow::sequencer_node<ExampleMessage> order_node(
      graph, [](const ExampleMessage& making) { return static_cast<std::size_t>(making->ticket.number); });
  flow::function_node<ExampleMessage, MixMessage> pack_node(graph, flow::serial, [this](const ExampleMessage& making) {
    pack(*making);
    return MixMessage(ExamplePacked{});
  });
  for (std::size_t corpus = 0; corpus < corpora.size(); ++corpus) {
    feeds.push_back(std::make_unique<DocumentFeed>(
        graph, readers[corpus], [this, corpus](ReadRecord record) { return encode(corpus, std::move(record)); },
        [corpus, &mix_node](EncodedRecord item) {
          mix_node.try_put(DocumentMessage{corpus, std::make_shared<EncodedRecord>(std::move(item))});
        },
        options.bytes_in_flight, control));
  }

  flow::make_edge(flow::output_port<0>(mix_node), corrupt_node);
  flow::make_edge(corrupt_node, order_node);
  flow::make_edge(order_node, pack_node);
  flow::make_edge(pack_node, mix_node);
  for (const auto& feed : feeds) feed->begin();
  graph.wait_for_all();
}

EncodedRecord DataPipeline::Impl::encode(std::size_t number, ReadRecord record) const {
  const RunCorpus& corpus = corpora[number];
  EncodedRecord encoded = record_to_tokens(std::move(record), vocabulary,
                                           {config.holdout, corpus.corpus.max_epochs, config.seed, corpus.id});
  keep_one_chunk(encoded, max_document_tokens, config.seed, corpus.id);
  return encoded;
}

std::vector<ExampleMessage> DataPipeline::Impl::mix(const MixMessage& message) {
  std::vector<ExampleMessage> examples;
  if (const auto* document = std::get_if<DocumentMessage>(&message)) {
    mixer.arrive(document->corpus, std::move(*document->item));
  } else {
    --tickets_in_flight;
  }
  while (!control.stopping && tickets_in_flight < max_tickets) {
    std::optional<MixedSegment> ticket = mixer.next();
    if (!ticket) break;
    ++tickets_in_flight;
    if (ticket->kind != MixedSegment::Kind::example) control.stopping = true;
    examples.push_back(std::make_shared<PendingExample>(PendingExample{std::move(*ticket), {}}));
  }
  return examples;
}

void DataPipeline::Impl::corrupt(PendingExample& making) const {
  MixedSegment& ticket = making.ticket;
  if (ticket.kind != MixedSegment::Kind::example) return;
  try {
    const SegmentToExample& denoise = plans[ticket.origin.phase].denoisers[ticket.origin.denoiser];
    ItemRng rng(config.seed, Purpose::span_lengths, ticket.origin.example);
    making.example = denoise(ticket.segment, rng);
  } catch (...) {
    ticket.kind = MixedSegment::Kind::failure;
    ticket.failure = std::current_exception();
  }
}

void DataPipeline::Impl::pack(PendingExample& making) {
  MixedSegment& ticket = making.ticket;
  if (ended) return;
  ended = ticket.kind != MixedSegment::Kind::example;
  if (ended) return finish(ticket);
  if (!packer.belongs_to_open_row(ticket) && !deliver(packer.take())) return;
  const bool ends_row = ticket.ends_row;
  packer.add(std::move(ticket), std::move(making.example));
  if (ends_row) deliver(packer.take());
}

/// The stream's end, or what broke it. Rows that make no whole batch are handed out before an end; before a failure,
/// only what was passed over on the way to them is.
void DataPipeline::Impl::finish(MixedSegment& ticket) {
  control.stopping = true;
  StreamRow end;
  end.number = ticket.row;
  end.after = std::move(ticket.after);
  if (ticket.kind == MixedSegment::Kind::failure) {
    if (std::optional<StreamRow> open = packer.take()) batch.push_back(std::move(*open));
    for (StreamRow& row : batch) pass_on(row.rejects, row.reject_corpora, end);
    pass_on(ticket.rejects, ticket.reject_corpora, end);
    return queue.fail(ticket.failure, std::move(end));
  }
  pass_on(ticket.rejects, ticket.reject_corpora, end);
  if (!deliver(packer.take())) return;
  if (batch.empty() || queue.push(std::exchange(batch, {}))) queue.finish(std::move(end));
}

/// False if nobody wants rows any more.
bool DataPipeline::Impl::deliver(std::optional<StreamRow> row) {
  if (!row) return true;
  batch.push_back(std::move(*row));
  if (batch.size() < static_cast<std::size_t>(options.batch_rows)) return true;
  if (queue.push(std::exchange(batch, {}))) return true;
  control.stopping = true;
  return false;
}

DataPipeline::DataPipeline(const StreamConfig& config, std::vector<RunCorpus> corpora, const Vocabulary& vocabulary,
                           std::optional<StreamPosition> start, Options options) {
  if (options.threads <= 0) options.threads = static_cast<int>(std::thread::hardware_concurrency());
  impl_ = std::make_unique<Impl>(config, std::move(corpora), vocabulary, std::move(start), options);
  impl_->thread = std::thread([impl = impl_.get()] {
    try {
      // The arena's own thread takes part, so that one thread is enough.
      oneapi::tbb::task_arena arena(impl->options.threads);
      arena.execute([impl] { impl->run(); });
    } catch (...) {
      impl->queue.fail(std::current_exception());
    }
  });
}

DataPipeline::~DataPipeline() {
  stop();
  impl_->thread.join();
}

std::optional<Batch> DataPipeline::next() {
  return impl_->queue.pop(impl_->options.interrupted);
}

StreamRow DataPipeline::end() {
  return impl_->queue.end();
}

void DataPipeline::stop() {
  impl_->control.stopping = true;
  impl_->queue.stop();
}

std::uint64_t DataPipeline::records_read_ahead() const {
  return impl_->control.records_read;
}

}  // namespace millrace
