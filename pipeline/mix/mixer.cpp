#include "pipeline/mix/mixer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "pipeline/mix/quota.h"
#include "stages/errors.h"

namespace millrace {

Mixer::Mixer(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const std::vector<PreparedPhase>& plans,
             StreamPosition start)
    : config_(config), corpora_(corpora), plans_(plans), position_(std::move(start)) {
  position_.source = {};  // From now on positions are those of the stream itself.
  for (std::size_t i = 0; i < corpora.size(); ++i)
    windows_.emplace_back(config, corpora[i], plans, std::move(position_.corpora[i]));
}

void Mixer::arrive(std::size_t corpus, EncodedRecord item) {
  if (!finished_) windows_[corpus].arrive(std::move(item));
}

std::uint64_t Mixer::take_credit(std::size_t corpus) {
  return windows_[corpus].take_credit();
}

std::optional<MixedSegment> Mixer::next() {
  while (!finished_) {
    if (room_ == 0 && !enter_phase()) return last(MixedSegment::Kind::end, nullptr);
    if (!choice_) choice_ = choose();
    if (!choice_) return last(MixedSegment::Kind::end, nullptr);
    if (room_ > 0 && length_of(*choice_) > room_) {
      room_ = 0;
      continue;
    }
    try {
      switch (windows_[choice_->corpus].supply(position_.phase)) {
        case TokenBuffer::Supply::enough:
          return cut(*std::exchange(choice_, std::nullopt));
        case TokenBuffer::Supply::wait:
          return std::nullopt;
        case TokenBuffer::Supply::ended:
          if (std::exchange(room_, 0) > 0) break;
          if (!close(std::exchange(choice_, std::nullopt)->corpus)) return last(MixedSegment::Kind::end, nullptr);
      }
    } catch (const std::exception&) {
      if (choice_) note_rejects(choice_->corpus, windows_[choice_->corpus].take_rejects());
      return last(MixedSegment::Kind::failure, std::current_exception());
    }
  }
  return std::nullopt;
}

/// Moves to the phase that the next row belongs to; false when the last one is over.
bool Mixer::enter_phase() {
  const std::uint64_t positions = position_.row * static_cast<std::uint64_t>(config_.sequence_length);
  while (positions >= config_.phases[position_.phase].until) {
    if (position_.phase + 1 == config_.phases.size()) return false;
    ++position_.phase;
    choice_.reset();
    for (SegmentWindow& window : windows_) window.begin_phase(position_.phase);
  }
  return true;
}

/// Nothing if every corpus of the phase is closed.
std::optional<Mixer::Choice> Mixer::choose() const {
  const PreparedPhase& plan = plans_[position_.phase];
  std::vector<Quota> claimants;
  std::vector<std::size_t> denoisers;
  bool any_open = false;
  for (std::size_t i = 0; i < plan.corpora.size(); ++i) {
    const CorpusPosition& place = windows_[plan.corpora[i]].position();
    denoisers.push_back(windows_[plan.corpora[i]].next_denoiser(position_.phase));
    claimants.push_back({place.open ? plan.corpus_shares[i] : 0, place.phase_raw_tokens,
                         static_cast<std::uint64_t>(plan.denoisers[denoisers.back()].raw_length())});
    any_open = any_open || place.open;
  }
  if (!any_open) return std::nullopt;
  std::size_t chosen = 0;
  if (config_.sampling == Sampling::quota) {
    chosen = choose_by_quota(claimants, plan.longest);
  } else {
    ItemRng rng(config_.seed, Purpose::random_sampling, item_of({position_.example, 0}));
    chosen = draw_by_weight(claimants, rng);
  }
  return Choice{plan.corpora[chosen], denoisers[chosen]};
}

/// Positions that the next example takes.
int Mixer::length_of(const Choice& choice) const {
  return plans_[position_.phase].denoisers[choice.denoiser].example_length(
      ItemRng(config_.seed, Purpose::span_lengths, position_.example));
}

MixedSegment Mixer::cut(const Choice& choice) {
  const PreparedPhase& plan = plans_[position_.phase];
  const int length = length_of(choice);
  TokenBuffer::Cut cut = windows_[choice.corpus].take(position_.phase);
  for (TokenBuffer::Begun& document : cut.begun) note_rejects(choice.corpus, document.told.take_rejects());

  MixedSegment mixed;
  mixed.number = segments_++;
  mixed.origin.example = position_.example++;
  mixed.origin.phase = position_.phase;
  mixed.origin.corpus = static_cast<std::uint32_t>(choice.corpus);
  mixed.origin.denoiser = static_cast<std::uint32_t>(choice.denoiser);
  mixed.origin.raw_tokens = cut.segment.raw_tokens;
  mixed.origin.segment_tokens = cut.segment.tokens.size();
  mixed.origin.documents_begun = cut.begun.size();
  mixed.origin.documents = cut.segment.documents;
  mixed.segment = std::move(cut.segment);
  mixed.rejects = std::exchange(rejects_, {});
  mixed.reject_corpora = std::exchange(reject_corpora_, {});
  if (room_ == 0) {
    ++position_.row;
    room_ = config_.sequence_length;
  }
  room_ -= length;
  if (room_ < plan.shortest_example) room_ = 0;
  mixed.row = position_.row - 1;
  mixed.ends_row = room_ == 0;
  mixed.after = position_now();
  return mixed;
}

std::shared_ptr<const StreamPosition> Mixer::position_now() {
  for (std::size_t i = 0; i < windows_.size(); ++i) position_.corpora[i] = windows_[i].position();
  return std::make_shared<const StreamPosition>(position_);
}

/// False if the stream ends with this corpus.
bool Mixer::close(std::size_t corpus) {
  note_rejects(corpus, windows_[corpus].close());
  if (corpora_[corpus].corpus.at_end == AtEnd::stop) return false;
  for (SegmentWindow& window : windows_) window.begin_shares();
  return true;
}

void Mixer::note_rejects(std::size_t corpus, std::vector<Reject> rejects) {
  reject_corpora_.insert(reject_corpora_.end(), rejects.size(), static_cast<std::uint32_t>(corpus));
  std::ranges::move(rejects, std::back_inserter(rejects_));
}

MixedSegment Mixer::last(MixedSegment::Kind kind, std::exception_ptr failure) {
  finished_ = true;
  MixedSegment mixed;
  mixed.kind = kind;
  mixed.number = segments_++;
  mixed.failure = std::move(failure);
  mixed.row = position_.row;
  mixed.rejects = std::exchange(rejects_, {});
  mixed.reject_corpora = std::exchange(reject_corpora_, {});
  mixed.after = position_now();
  return mixed;
}

}  // namespace millrace
