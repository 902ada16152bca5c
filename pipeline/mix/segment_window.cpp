#include "pipeline/mix/segment_window.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "pipeline/mix/quota.h"
#include "pipeline/reading/lanes.h"
#include "stages/errors.h"
#include "stages/philox.h"

namespace millrace {
namespace {

/// Credits are returned at once until the buffer holds, besides the next window, this many of the longest examples.
constexpr std::uint64_t kBufferedExamples = 2;

TokenBuffer::Limits limits_of(const StreamConfig& config, const std::vector<PreparedPhase>& plans) {
  TokenBuffer::Limits limits;
  limits.on_bad_data = config.on_bad_data;
  limits.max_bad_fraction = config.max_bad_fraction;
  limits.window = longest_window(config);
  for (const PreparedPhase& plan : plans) limits.ahead = std::max(limits.ahead, kBufferedExamples * plan.longest);
  return limits;
}

std::uint64_t sum_of(const std::vector<std::uint64_t>& examples) {
  return std::accumulate(examples.begin(), examples.end(), std::uint64_t{0});
}

}  // namespace

SegmentWindow::SegmentWindow(const StreamConfig& config, const RunCorpus& corpus,
                             const std::vector<PreparedPhase>& plans, CorpusPosition start)
    : config_(config),
      corpus_(corpus),
      plans_(plans),
      start_source_(std::exchange(start.source, {})),  // From now on positions are those of the stream itself.
      position_(std::move(start)),
      buffer_(corpus.corpus.name, position_.place, start_source_, position_.open, limits_of(config, plans)),
      to_restore_(position_.windows.begin(), position_.windows.end()) {}

std::size_t SegmentWindow::next_denoiser(std::uint32_t phase) const {
  return denoiser_after(phase, position_.phase_examples);
}

std::size_t SegmentWindow::denoiser_after(std::uint32_t phase, const std::vector<std::uint64_t>& examples) const {
  const PreparedPhase& plan = plans_[phase];
  std::vector<Quota> claimants;
  for (std::size_t d = 0; d < plan.denoisers.size(); ++d)
    claimants.push_back({plan.denoiser_shares[d], examples[d], 1});
  if (config_.sampling == Sampling::quota) return choose_by_quota(claimants, 1);
  ItemRng rng(config_.seed, Purpose::random_sampling, item_of({corpus_.id, phase, sum_of(examples)}));
  return draw_by_weight(claimants, rng);
}

std::uint64_t SegmentWindow::length_of(std::uint32_t phase, std::size_t denoiser) const {
  return static_cast<std::uint64_t>(plans_[phase].denoisers[denoiser].raw_length());
}

TokenBuffer::Supply SegmentWindow::supply(std::uint32_t phase) {
  for (;;) {
    const bool restores = !to_restore_.empty();
    if (left_ > 0 && !restores && phase_ == phase) return TokenBuffer::Supply::enough;
    if (left_ > 0) put_back();
    const WindowPlace place = restores ? to_restore_.front() : WindowPlace{phase, 0, position_.phase_examples, 0};
    if (!next_ || next_->place != place) next_ = Outline{place, place.examples, {}, 0};
    const TokenBuffer::Supply there = supply_of(*next_);
    if (there == TokenBuffer::Supply::ended && restores) refuse_start(place, 0);
    if (there != TokenBuffer::Supply::enough) return there;
    Outline outline = std::move(*std::exchange(next_, std::nullopt));
    const std::uint64_t epoch = cut(outline);
    if (restores) {
      to_restore_.pop_front();
      if (outline.place.given > left_ || outline.place.epoch != epoch) refuse_start(place, left_);
      for (std::uint64_t i = 0; i < outline.place.given; ++i) take_of(outline.denoisers[i]);
    } else {
      outline.place.epoch = epoch;
      position_.windows.push_back(std::move(outline.place));
    }
  }
}

bool SegmentWindow::is_longest(const Outline& outline) const {
  return outline.ids >= longest_window(config_);
}

/// Until it takes more than so many ids, or is as long as a window can be.
void SegmentWindow::extend(Outline& outline, std::uint64_t ids) const {
  while (outline.denoisers.empty() || (outline.ids <= ids && !is_longest(outline))) {
    const std::size_t denoiser = denoiser_after(outline.place.phase, outline.examples);
    ++outline.examples[denoiser];
    outline.denoisers.push_back(static_cast<std::uint32_t>(denoiser));
    outline.ids += length_of(outline.place.phase, denoiser);
  }
}

/// Whether all that the window can be is there: its ids, or the end of its epoch.
TokenBuffer::Supply SegmentWindow::supply_of(Outline& outline) const {
  const std::optional<TokenId> separator = plans_[outline.place.phase].separator;
  const TokenBuffer::EpochSupply epoch = buffer_.supply_of_epoch(separator);
  extend(outline, epoch.ids);
  const std::uint64_t first = length_of(outline.place.phase, outline.denoisers.front());
  if (epoch.ids >= (epoch.is_whole ? first : outline.ids)) return TokenBuffer::Supply::enough;
  if (epoch.is_whole) return buffer_.supply(first, separator);
  buffer_.expect_sound();
  return TokenBuffer::Supply::wait;
}

/// Returns the epoch of the window.
std::uint64_t SegmentWindow::cut(const Outline& outline) {
  phase_ = outline.place.phase;
  const PreparedPhase& plan = plans_[phase_];
  cuts_.clear();
  std::vector<std::vector<std::uint32_t>> of_denoiser(plan.denoisers.size());
  const auto [epoch, epoch_ids, is_whole] = buffer_.supply_of_epoch(plan.separator);
  const bool more_is_left = is_longest(outline) && epoch_ids >= outline.ids;
  std::uint64_t ids = 0;
  for (const std::uint32_t denoiser : outline.denoisers) {
    const std::uint64_t length = length_of(phase_, denoiser);
    const TokenBuffer::EpochSupply supply = buffer_.supply_of_epoch(plan.separator);
    const bool straddles = supply.ids < length;
    if (!cuts_.empty() && (straddles || supply.epoch != epoch)) break;
    of_denoiser[denoiser].push_back(static_cast<std::uint32_t>(cuts_.size()));
    cuts_.emplace_back(buffer_.cut(length, plan.separator));
    ids += length;
    if (straddles || (more_is_left && ids >= config_.shuffle_tokens)) break;
  }
  left_ = cuts_.size();
  order_.assign(plan.denoisers.size(), {});
  for (std::size_t d = 0; d < of_denoiser.size(); ++d) {
    ItemRng rng(config_.seed, Purpose::window_order, item_of({corpus_.id, phase_, sum_of(outline.place.examples), d}));
    for (const std::uint32_t i : rng.permutation(static_cast<std::uint32_t>(of_denoiser[d].size())))
      order_[d].push_back(of_denoiser[d][i]);
  }
  return epoch;
}

void SegmentWindow::refuse_start(const WindowPlace& window, std::size_t examples) const {
  throw DataError(start_source_.told(
      fmt::format("{} examples of a window of epoch {} were given, but what is there has {}: the position is damaged, "
                  "or shards have changed",
                  window.given, window.epoch, examples)));
}

void SegmentWindow::put_back() {
  std::vector<TokenBuffer::Cut> cuts;
  for (std::optional<TokenBuffer::Cut>& cut : cuts_)
    if (cut) cuts.push_back(std::move(*cut));
  cuts_.clear();
  left_ = 0;
  buffer_.put_back(std::move(cuts));
}

TokenBuffer::Cut SegmentWindow::take_of(std::size_t denoiser) {
  const std::uint32_t next = order_[denoiser].front();
  order_[denoiser].pop_front();
  --left_;
  return *std::exchange(cuts_[next], std::nullopt);
}

TokenBuffer::Cut SegmentWindow::take(std::uint32_t phase) {
  const std::size_t denoiser = next_denoiser(phase);
  TokenBuffer::Cut cut = take_of(denoiser);
  position_.raw_tokens += cut.segment.raw_tokens;
  position_.phase_raw_tokens += cut.segment.raw_tokens;
  for (const TokenBuffer::Begun& document : cut.begun) position_.records += document.told.records();
  ++position_.phase_examples[denoiser];
  ++position_.windows.back().given;
  if (left_ == 0 && !buffer_.has_pieces()) {
    position_.windows.clear();
    position_.place = buffer_.place();
  }
  return cut;
}

void SegmentWindow::begin_phase(std::uint32_t phase) {
  position_.phase_raw_tokens = 0;
  position_.phase_examples.assign(plans_[phase].denoisers.size(), 0);
}

std::vector<Reject> SegmentWindow::close() {
  TokenBuffer::Tail tail = buffer_.take_tail();
  position_.tail_tokens += tail.tokens;
  position_.tail_documents += tail.documents;
  position_.records += tail.records;
  position_.open = false;
  position_.windows.clear();
  position_.place = buffer_.place();
  position_.place.records = position_.records;
  return std::move(tail.rejects);
}

}  // namespace millrace
