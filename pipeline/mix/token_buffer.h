#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/stream_config.h"
#include "pipeline/mix/encoded_record.h"
#include "pipeline/mix/record_account.h"
#include "pipeline/rows/position.h"
#include "stages/records.h"

namespace millrace {

/// One corpus's documents between encoding and cutting: holds their ids, cuts segments from them, and keeps the
/// corpus's position. No thread of its own; not thread-safe.
class TokenBuffer {
 public:
  struct Limits {
    OnBadData on_bad_data = OnBadData::skip;
    double max_bad_fraction = 1;
    std::uint64_t full_at = 0;  ///< Ids held from which on a document's credit is kept until it is consumed.
  };
  TokenBuffer(std::string corpus, CorpusPosition start, const Limits& limits);

  /// Takes the next item in the order of reading. Returns how much credit comes free at once.
  std::uint64_t arrive(EncodedRecord item);

  enum class Supply : std::uint8_t { enough, wait, ended };
  /// Whether `length` ids (separators included) can be cut. Throws the corpus's error if it comes before them.
  Supply supply(std::uint64_t length, std::optional<TokenId> separator) const;

  /// Cuts exactly `length` ids and moves the position behind them. With a `separator`, that id follows each document
  /// and is not a raw token. REQUIRES: Supply::enough.
  struct Cut {
    Segment segment;
    std::vector<Reject> rejects;  ///< Passed over on the way.
    std::uint64_t documents_begun = 0;
    std::uint64_t credit = 0;  ///< That comes free.
  };
  Cut cut(std::uint64_t length, std::optional<TokenId> separator);

  /// Counts what is left as tail and closes the corpus. Returns the rejects among it. REQUIRES: Supply::ended.
  std::vector<Reject> close();

  /// The rejects before the corpus's error. REQUIRES: supply() threw.
  std::vector<Reject> take_rejects();

  const CorpusPosition& position() const { return position_; }
  CorpusPosition& position() { return position_; }

 private:
  struct Held {
    ReadCursor place;
    std::uint64_t record = 0;
    std::vector<TokenId> tokens;
    std::uint64_t first_token = 0;
    RecordCounts before;  ///< Records passed over since the document before, and this one.
    std::vector<Reject> rejects;
    std::uint64_t credit = 0;  ///< That it still holds: the last ones in documents_ do.
  };

  std::uint64_t give_back_credit();
  void enter(EncodedRecord item);
  bool is_in_midst_of(const EncodedRecord& item);
  void count(const EncodedRecord& item);
  void judge(const EncodedRecord& item);
  void begin_document(const Held& document, Cut& cut);
  void end_document(Cut& cut);

  std::string corpus_;
  Limits limits_;
  PositionSource start_source_;
  CorpusPosition position_;

  std::deque<Held> documents_;
  std::uint64_t tokens_ = 0;       ///< Ids in documents_ that are not consumed.
  bool between_documents_ = true;  ///< Nothing of documents_.front() is consumed.
  bool mid_document_ = false;      ///< The next item must be a document, some of it consumed before the restart.

  RecordAccount account_;  ///< Since the run began, up to the last item.
  RecordCounts pending_;   ///< Passed over since the last document.
  std::vector<Reject> pending_rejects_;
  bool epoch_has_documents_ = false;
  bool ended_ = false;          ///< Nothing comes after documents_.
  std::exception_ptr failure_;  ///< What comes after documents_ instead of more.
};

}  // namespace millrace
