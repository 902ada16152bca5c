#include "pipeline/stream/document_feed.h"

#include <cstddef>
#include <utility>
#include <variant>

namespace millrace {
namespace {

namespace flow = oneapi::tbb::flow;

/// What a record takes beside its text, read and encoded: about.
constexpr std::uint64_t kRecordBytes = 1024;

std::uint64_t size_of(const ReadRecord& record) {
  std::uint64_t bytes = kRecordBytes;
  if (const auto* document = std::get_if<Document>(&record.record)) bytes += document->text.size();
  for (const Reject& reject : record.container_rejects) bytes += reject.reason.size();
  return bytes;
}

}  // namespace

/// A record on its way: read, and then encoded.
struct DocumentFeed::Passing {
  std::uint64_t number = 0;  ///< 0, 1, 2, ... as they were read.
  std::uint64_t credit = 0;
  ReadRecord read;
  std::exception_ptr failure;  ///< Of reading.
  EncodedRecord encoded;
};

DocumentFeed::DocumentFeed(flow::graph& graph, RecordSource& source, Encode encode_record, Deliver deliver_record,
                           std::uint64_t bytes_in_flight, Control& control)
    : source_(source),
      encode_record_(std::move(encode_record)),
      deliver_record_(std::move(deliver_record)),
      most_bytes_(bytes_in_flight),
      control_(control),
      read_(graph, flow::serial,
            [this](std::uint64_t credit, ReadNode::output_ports_type& ports) {
              bytes_ -= credit;
              while (bytes_ < most_bytes_) {
                const Message message = read();
                if (message == nullptr) break;
                bytes_ += message->credit;
                std::get<0>(ports).try_put(message);
              }
            }),
      encode_(graph, flow::unlimited,
              [this](Message message) {
                encode(*message);
                return message;
              }),
      order_(graph, [](const Message& message) { return static_cast<std::size_t>(message->number); }),
      deliver_(graph, flow::serial, [this](const Message& message) { deliver(*message); }) {
  flow::make_edge(flow::output_port<0>(read_), encode_);
  flow::make_edge(encode_, order_);
  flow::make_edge(order_, deliver_);
}

/// Nothing once the source has ended or failed, or nobody wants more.
DocumentFeed::Message DocumentFeed::read() {
  if (control_.stopping || ended_) return nullptr;
  auto passing = std::make_shared<Passing>();
  try {
    ended_ = !source_.next(passing->read);
    if (ended_) return nullptr;
    ++control_.records_read;
  } catch (...) {
    passing->failure = std::current_exception();
    ended_ = true;
  }
  passing->number = next_number_++;
  passing->credit = size_of(passing->read);
  return passing;
}

void DocumentFeed::encode(Passing& passing) const {
  if (control_.stopping) return;
  EncodedRecord& encoded = passing.encoded;
  encoded.failure = passing.failure;
  if (encoded.failure != nullptr) {
    encoded.place = passing.read.place;
    encoded.ended_lanes = std::move(passing.read.ended_lanes);
    encoded.rejects = std::move(passing.read.container_rejects);
  } else {
    try {
      encoded = encode_record_(std::exchange(passing.read, {}));
    } catch (...) {
      encoded.failure = std::current_exception();
    }
  }
  if (encoded.failure != nullptr) encoded.kind = EncodedRecord::Kind::failure;
  encoded.credit = passing.credit;
}

void DocumentFeed::deliver(Passing& passing) const {
  if (!control_.stopping) deliver_record_(std::move(passing.encoded));
}

}  // namespace millrace
