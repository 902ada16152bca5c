#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/mix/encoded_record.h"
#include "pipeline/mix/record_account.h"
#include "pipeline/mix/told.h"
#include "pipeline/rows/position.h"
#include "stages/records.h"

namespace millrace {

/// One corpus's documents between encoding and cutting: holds their ids, cuts segments from them in the order of
/// reading, and keeps the place up to which it has cut. No thread of its own; not thread-safe.
class TokenBuffer {
 public:
  struct Limits {
    OnBadData on_bad_data = OnBadData::skip;
    double max_bad_fraction = 1;
    std::uint64_t window = 0;  ///< Ids of an epoch that are cut at once.
    std::uint64_t ahead = 0;   ///< Ids held besides those, from which on a document's credit is kept until it is cut.
  };
  /// `is_open` false: nothing comes.
  TokenBuffer(std::string corpus, ReadingPlace start, PositionSource source, bool is_open, const Limits& limits);

  /// Takes the next item in the order of reading.
  void arrive(EncodedRecord item);
  /// Credit that came free since the last call.
  std::uint64_t take_credit();

  enum class Supply : std::uint8_t { enough, wait, ended };
  /// Whether `length` ids (separators included) can be cut. Throws the corpus's error if it comes before them.
  Supply supply(std::uint64_t length, std::optional<TokenId> separator) const;

  /// What can be cut before another epoch begins.
  struct EpochSupply {
    std::uint64_t epoch = 0;  ///< Of the next id.
    std::uint64_t ids = 0;    ///< Separators included.
    bool is_whole = false;    ///< The epoch has no more.
  };
  EpochSupply supply_of_epoch(std::optional<TokenId> separator) const;
  /// Throws the corpus's error if one has come.
  void expect_sound() const;

  /// Cuts exactly `length` ids and moves the place behind them. With a `separator`, that id follows each document and
  /// is not a raw token. REQUIRES: Supply::enough.
  struct Begun {
    std::size_t span = 0;  ///< Of the segment, with which the document begins.
    Told told;
  };
  struct Cut {
    Segment segment;
    std::vector<Begun> begun;
  };
  Cut cut(std::uint64_t length, std::optional<TokenId> separator);

  /// Takes back segments of one epoch that were not used, in the order of reading: their ids are the next to be cut.
  /// Where a segment between two of them was used, they meet as two documents do. The place stays.
  void put_back(std::vector<Cut> cuts);
  /// Whether ids that were put back are still to be cut.
  bool has_pieces() const { return !documents_.empty() && documents_.front().is_piece; }

  /// What is left: too little to be cut.
  struct Tail {
    std::uint64_t tokens = 0;
    std::uint64_t documents = 0;  ///< That begin in it.
    RecordCounts records;         ///< Those, and what was passed over.
    std::vector<Reject> rejects;
  };
  /// REQUIRES: Supply::ended. Nothing is left behind it.
  Tail take_tail();

  /// The rejects before the corpus's error. REQUIRES: it was thrown.
  std::vector<Reject> take_rejects();

  const ReadingPlace& place() const { return place_; }

 private:
  /// A document, or a piece of one that was put back.
  struct Held {
    ReadCursor place;
    std::uint64_t record = 0;
    std::vector<TokenId> tokens;
    std::uint64_t first_token = 0;              ///< Where in the document's ids `tokens` begins.
    std::uint64_t offset = 0;                   ///< How many of `tokens` are cut.
    bool is_piece = false;                      ///< The place is behind it already.
    bool begins = true;                         ///< The document begins with it, and nothing of it is cut.
    bool ends = true;                           ///< A separator follows; otherwise the document's next piece.
    Told told;                                  ///< If it begins.
    std::map<std::uint32_t, LaneCursor> lanes;  ///< Moved since the document before: those of records passed over.
    std::uint64_t credit = 0;                   ///< That it still holds: the last ones in documents_ do.
  };
  /// What is held of an epoch.
  struct EpochHeld {
    std::uint64_t epoch = 0;
    std::uint64_t tokens = 0;
    std::uint64_t ends = 0;  ///< Documents that end, each with a separator if that is asked for.
    bool is_whole = false;
  };

  bool is_full() const;
  void free_credit();
  void enter(EncodedRecord item);
  bool is_in_midst_of(const EncodedRecord& item);
  void count(const EncodedRecord& item);
  void pass(const EncodedRecord& item);
  void move(const std::map<std::uint32_t, LaneCursor>& lanes);
  void judge(const EncodedRecord& item);
  void begin_epoch(std::uint64_t epoch);
  void add(EpochHeld& epoch, std::uint64_t tokens, std::uint64_t ends);
  void hold(EncodedRecord& document, std::uint64_t cut);
  void begin_document(Held& document, Cut& cut);
  void take_ids(Held& document, std::uint64_t most, Cut& cut);
  void end_document();
  void forget_ended_epochs();
  static bool is_continued(const Held& document, const Held& next);
  static std::vector<Held> pieces_of(std::vector<Cut> cuts);

  std::string corpus_;
  Limits limits_;
  PositionSource start_source_;
  ReadingPlace place_;

  std::deque<Held> documents_;
  std::deque<EpochHeld> epochs_;  ///< The first is that of the next id; never empty.
  std::uint64_t tokens_ = 0;      ///< Of all of them.
  std::uint64_t ends_ = 0;
  bool mid_document_ = false;  ///< The next item must be a document, some of it cut before the restart.
  std::uint64_t credit_ = 0;   ///< Came free.

  RecordAccount account_;  ///< Since the run began, up to the last item.
  RecordCounts pending_;   ///< Passed over since the last document.
  std::vector<Reject> pending_rejects_;
  std::map<std::uint32_t, LaneCursor> pending_lanes_;  ///< Moved since the last document, in its epoch or the next.
  bool epoch_has_documents_ = false;
  bool ended_ = false;          ///< Nothing comes after documents_.
  std::exception_ptr failure_;  ///< What comes after documents_ instead of more.
};

}  // namespace millrace
