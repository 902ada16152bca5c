#include "pipeline/rows/row_mixing.h"

#include <algorithm>
#include <compare>
#include <numeric>
#include <utility>

#include "stages/philox.h"

namespace millrace {
namespace {

using Examples = RowMixing::Examples;
using Span = RowMixing::Span;

/// Which example stands at each place of a corpus.
using Order = std::vector<std::uint32_t>;

/// Indices of an example's spans.
std::pair<std::size_t, std::size_t> spans_of(const Examples& examples, std::uint32_t example) {
  return {example == 0 ? 0 : examples.ends[example - 1], examples.ends[example]};
}

/// Documents by number, in the order of their shards and records.
struct Documents {
  std::vector<std::uint32_t> of_span;
  std::uint64_t count = 0;
};

Documents documents_of(const std::vector<Span>& spans) {
  const auto key = [&](std::uint32_t index) { return std::pair(spans[index].shard, spans[index].record); };
  Order by_document(spans.size());
  std::iota(by_document.begin(), by_document.end(), 0U);
  std::ranges::sort(by_document, {}, key);
  Documents documents{std::vector<std::uint32_t>(spans.size()), 0};
  for (std::size_t i = 0; i < by_document.size(); ++i) {
    if (i == 0 || key(by_document[i]) != key(by_document[i - 1])) ++documents.count;
    documents.of_span[by_document[i]] = static_cast<std::uint32_t>(documents.count - 1);
  }
  return documents;
}

/// Counts pairs of rows that share a document, batch by batch.
class PairCounter {
 public:
  PairCounter(const Examples& examples, const Documents& documents, std::uint64_t first_row, std::uint64_t batch_rows)
      : examples_(examples), documents_(documents), first_row_(first_row), batch_rows_(batch_rows) {}

  std::uint64_t count(const Order& order) {
    std::uint64_t pairs = 0;
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
      const std::uint64_t batch = batch_of(begin);
      held_.clear();
      for (; end < order.size() && batch_of(end) == batch; ++end) {
        const auto [from, to] = spans_of(examples_, order[end]);
        for (std::size_t span = from; span < to; ++span)
          held_.push_back({documents_.of_span[span], examples_.rows[end] - examples_.rows[begin]});
      }
      pairs += pairs_in_batch();
    }
    return pairs;
  }

 private:
  /// That a row of the batch, counted from the batch's first with an example of the corpus, holds a document.
  struct Held {
    std::uint32_t document;
    std::uint32_t row;
    auto operator<=>(const Held&) const = default;
  };

  std::uint64_t batch_of(std::size_t place) const { return (first_row_ + examples_.rows[place]) / batch_rows_; }

  /// Goes through the rows and marks, for each, those behind it that share a document, so that a pair counts once.
  std::uint64_t pairs_in_batch() {
    std::ranges::sort(held_);
    held_.erase(std::unique(held_.begin(), held_.end()), held_.end());
    by_row_.resize(held_.size());
    std::iota(by_row_.begin(), by_row_.end(), 0U);
    std::ranges::sort(by_row_, {}, [&](std::uint32_t index) { return std::pair(held_[index].row, index); });
    marked_by_.assign(held_.empty() ? 0 : held_[by_row_.back()].row + 1, kNobody);
    std::uint64_t pairs = 0;
    for (const std::uint32_t index : by_row_) {
      const auto [document, row] = held_[index];
      for (std::size_t other = index + 1; other < held_.size() && held_[other].document == document; ++other) {
        std::uint32_t& mark = marked_by_[held_[other].row];
        if (mark != row) ++pairs;
        mark = row;
      }
    }
    return pairs;
  }

  static constexpr std::uint32_t kNobody = 0xFFFF'FFFF;

  const Examples& examples_;
  const Documents& documents_;
  const std::uint64_t first_row_;
  const std::uint64_t batch_rows_;
  std::vector<Held> held_;
  std::vector<std::uint32_t> by_row_;     ///< Indices in held_, by row.
  std::vector<std::uint32_t> marked_by_;  ///< By row.
};

/// Raw tokens of each value.
struct Distribution {
  std::vector<double> tokens;
  double all = 0;

  explicit Distribution(std::vector<double> tokens_of_value)
      : tokens(std::move(tokens_of_value)), all(std::accumulate(tokens.begin(), tokens.end(), 0.0)) {}

  double share(std::uint32_t value) const { return value < tokens.size() && all > 0 ? tokens[value] / all : 0; }
};

/// Compares windows of rows with the whole, by one property.
class WindowComparer {
 public:
  WindowComparer(const Examples& examples, const DocumentProperty& property, std::uint64_t first_row,
                 std::uint64_t rows, std::uint64_t window_rows)
      : examples_(examples),
        first_row_(first_row),
        windows_(rows / window_rows),
        window_rows_(window_rows),
        of_span_(values_of(examples.spans, property)),
        rows_(tokens_of_values(examples.spans)),
        epoch_(property.epoch),
        in_window_(rows_.tokens.size()) {
    spread_.property = property.name;
    spread_.values = static_cast<std::uint64_t>(std::ranges::count_if(rows_.tokens, [](double n) { return n > 0; }));
  }

  /// The order found comes first, then shuffles. Windows with tokens are the same in each: places keep their rows.
  void add(const Order& order) {
    std::vector<double> from_rows, from_epoch;
    std::size_t place = 0;
    for (std::uint64_t window = 1; window <= windows_; ++window) {
      const double all = fill_window(order, place, window * window_rows_);
      if (all > 0) {
        if (!has_found_) spread_.windows.push_back({first_row_ + window * window_rows_, {}, {}});
        from_rows.push_back(distance(all, rows_));
        if (epoch_.all > 0) from_epoch.push_back(distance(all, epoch_));
      }
      for (const std::uint32_t value : met_) in_window_[value] = 0;
      met_.clear();
    }
    for (std::size_t i = 0; i < from_rows.size(); ++i) {
      enter(from_rows[i], spread_.windows[i].from_rows);
      if (!from_epoch.empty()) enter(from_epoch[i], at(spread_.windows[i].from_epoch));
    }
    if (!from_rows.empty()) enter(from_rows, spread_.from_rows);
    if (!from_epoch.empty()) enter(from_epoch, at(spread_.from_epoch));
    has_found_ = true;
  }

  WindowSpread spread() const { return spread_; }

 private:
  static std::vector<std::uint32_t> values_of(const std::vector<Span>& spans, const DocumentProperty& property) {
    std::vector<std::uint32_t> values;
    values.reserve(spans.size());
    for (const Span& span : spans) values.push_back(property.value_of(span.shard, span.record));
    return values;
  }

  std::vector<double> tokens_of_values(const std::vector<Span>& spans) const {
    std::vector<double> tokens(of_span_.empty() ? 0 : std::ranges::max(of_span_) + std::size_t{1});
    for (std::size_t i = 0; i < spans.size(); ++i) tokens[of_span_[i]] += spans[i].tokens;
    return tokens;
  }

  /// Takes the places of rows below `end`. Returns the window's tokens.
  double fill_window(const Order& order, std::size_t& place, std::uint64_t end) {
    double all = 0;
    for (; place < order.size() && examples_.rows[place] < end; ++place) {
      const auto [from, to] = spans_of(examples_, order[place]);
      for (std::size_t span = from; span < to; ++span) {
        double& tokens = in_window_[of_span_[span]];
        if (tokens == 0) met_.push_back(of_span_[span]);
        tokens += examples_.spans[span].tokens;
        all += examples_.spans[span].tokens;
      }
    }
    return all;
  }

  /// 1 less what both have in common, which only the window's values can have.
  double distance(double all, const Distribution& whole) const {
    double common = 0;
    for (const std::uint32_t value : met_) common += std::min(in_window_[value] / all, whole.share(value));
    return std::max(0.0, 1 - common);
  }

  template <class Value>
  static Value& at(std::optional<Value>& value) {
    return value ? *value : value.emplace();
  }

  void enter(double distance, BesideShuffled& into) const {
    if (has_found_) {
      into.shuffled += distance / static_cast<double>(kPerfectShuffles);
    } else {
      into.found = distance;
    }
  }

  void enter(const std::vector<double>& distances, WindowDistances& into) const {
    const double sum = std::accumulate(distances.begin(), distances.end(), 0.0);
    enter(sum / static_cast<double>(distances.size()), into.mean);
    enter(std::ranges::max(distances), into.max);
  }

  const Examples& examples_;
  const std::uint64_t first_row_;
  const std::uint64_t windows_;  ///< Whole ones.
  const std::uint64_t window_rows_;
  const std::vector<std::uint32_t> of_span_;
  const Distribution rows_;
  const Distribution epoch_;
  std::vector<double> in_window_;   ///< Tokens by value; 0 between windows.
  std::vector<std::uint32_t> met_;  ///< Values of the window.
  bool has_found_ = false;          ///< The order found was added.
  WindowSpread spread_;
};

}  // namespace

std::optional<double> BesideShuffled::ratio() const {
  return shuffled > 0 ? std::optional(found / shuffled) : std::nullopt;
}

RowMixing::RowMixing(std::optional<std::uint64_t> batch_rows, std::uint64_t window_rows)
    : batch_rows_(batch_rows), window_rows_(window_rows) {}

void RowMixing::add(const StreamRow& row) {
  if (rows_ == 0) first_row_ = row.number;
  for (const ExampleOrigin& origin : row.examples) {
    const auto is_empty = [](const DocumentSpan& span) { return span.from == span.to; };
    if (std::ranges::all_of(origin.documents, is_empty)) continue;
    Examples& examples = corpora_[origin.corpus];
    for (const DocumentSpan& span : origin.documents) {
      if (is_empty(span)) continue;
      examples.spans.push_back({span.record, span.shard, static_cast<std::uint32_t>(span.to - span.from)});
    }
    examples.rows.push_back(static_cast<std::uint32_t>(row.number - first_row_));
    examples.ends.push_back(examples.spans.size());
  }
  rows_ = row.number - first_row_ + 1;
}

std::vector<std::uint32_t> RowMixing::corpora() const {
  std::vector<std::uint32_t> corpora;
  for (const auto& [corpus, examples] : corpora_) corpora.push_back(corpus);
  return corpora;
}

CorpusMixing RowMixing::measure(std::uint32_t corpus, const std::vector<DocumentProperty>& properties) const {
  const Examples& examples = corpora_.at(corpus);
  const Documents documents = documents_of(examples.spans);
  CorpusMixing mixing{examples.rows.size(), documents.count, {}, {}};
  std::optional<PairCounter> counter;
  if (batch_rows_) counter.emplace(examples, documents, first_row_, *batch_rows_);
  std::vector<WindowComparer> comparers;
  comparers.reserve(properties.size());
  for (const DocumentProperty& property : properties)
    comparers.emplace_back(examples, property, first_row_, rows_, window_rows_);

  Order order(examples.rows.size());
  std::iota(order.begin(), order.end(), 0U);
  if (counter) mixing.pairs = {static_cast<double>(counter->count(order)), 0};
  for (WindowComparer& comparer : comparers) comparer.add(order);
  double pairs = 0;
  for (std::uint64_t shuffle = 0; shuffle < kPerfectShuffles; ++shuffle) {
    order = ItemRng(shuffle, Purpose::perfect_shuffle, corpus).permutation(static_cast<std::uint32_t>(order.size()));
    if (counter) pairs += static_cast<double>(counter->count(order));
    for (WindowComparer& comparer : comparers) comparer.add(order);
  }
  if (counter) mixing.pairs->shuffled = pairs / static_cast<double>(kPerfectShuffles);
  for (const WindowComparer& comparer : comparers) mixing.spreads.push_back(comparer.spread());
  return mixing;
}

}  // namespace millrace
