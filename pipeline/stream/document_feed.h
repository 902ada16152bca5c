#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <tuple>

#include <oneapi/tbb/flow_graph.h>

#include "pipeline/mix/encoded_record.h"
#include "pipeline/reading/record_source.h"

namespace millrace {

/// One corpus's records on their way through a graph: read ahead, encoded on all its threads, and delivered one by one
/// in the order of reading, whatever the number of threads. So many bytes at most are on their way, from being read to
/// being given back: a record counts as its text and 1 KiB, and the reader rests once there are as many, so that there
/// is at most one record more; its ids take at most 4 bytes for each of its text.
class DocumentFeed {
 public:
  using Encode = std::function<EncodedRecord(ReadRecord)>;
  using Deliver = std::function<void(EncodedRecord)>;

  /// Shared by the feeds of a graph. Any thread.
  struct Control {
    std::atomic<bool> stopping = false;           ///< Nobody wants more: nothing is read, encoded or delivered.
    std::atomic<std::uint64_t> records_read = 0;  ///< Runs ahead of what was delivered.
  };

  /// `encode`: any thread. `deliver`: one call at a time; what it throws ends the graph. What reading or encoding
  /// throws is delivered in its place, as Kind::failure; nothing is read behind what reading threw. All that is given
  /// outlives the graph's work.
  DocumentFeed(oneapi::tbb::flow::graph& graph, RecordSource& source, Encode encode, Deliver deliver,
               std::uint64_t bytes_in_flight, Control& control);

  void begin() { give_back(0); }
  /// Credit of items that were delivered: as much may be read again. Any thread.
  void give_back(std::uint64_t credit) { read_.try_put(credit); }

 private:
  struct Passing;
  using Message = std::shared_ptr<Passing>;
  using ReadNode = oneapi::tbb::flow::multifunction_node<std::uint64_t, std::tuple<Message>>;

  Message read();
  void encode(Passing& passing) const;
  void deliver(Passing& passing) const;

  RecordSource& source_;
  const Encode encode_record_;
  const Deliver deliver_record_;
  const std::uint64_t most_bytes_;
  Control& control_;

  // The reading node's.
  std::uint64_t bytes_ = 0;  ///< On their way.
  std::uint64_t next_number_ = 0;
  bool ended_ = false;

  ReadNode read_;
  oneapi::tbb::flow::function_node<Message, Message> encode_;
  oneapi::tbb::flow::sequencer_node<Message> order_;
  oneapi::tbb::flow::function_node<Message> deliver_;
};

}  // namespace millrace
