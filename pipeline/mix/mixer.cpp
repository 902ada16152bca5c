#include "pipeline/mix/mixer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "pipeline/mix/quota.h"
#include "stages/errors.h"

namespace millrace {
namespace {

/// Credits are returned at once until the buffer holds tokens for this many of the longest examples.
constexpr std::uint64_t kBufferedExamples = 2;

/// Draws an index with probability proportional to its weight.
std::size_t draw(const std::vector<Quota>& claimants, ItemRng& rng) {
  std::uint64_t sum = 0;
  for (const Quota& claimant : claimants) sum += claimant.weight;
  std::uint64_t left = rng.below(sum);
  std::size_t index = 0;
  while (left >= claimants[index].weight) left -= claimants[index++].weight;
  return index;
}

}  // namespace

Mixer::Mixer(const StreamConfig& config, const std::vector<RunCorpus>& corpora, const std::vector<PreparedPhase>& plans,
             StreamPosition start)
    : config_(config), corpora_(corpora), plans_(plans), position_(std::move(start)), credit_(corpora.size(), 0) {
  position_.source = {};  // From now on positions are those of the stream itself.
  TokenBuffer::Limits limits;
  limits.on_bad_data = config.on_bad_data;
  limits.max_bad_fraction = config.max_bad_fraction;
  for (const PreparedPhase& plan : plans) limits.full_at = std::max(limits.full_at, kBufferedExamples * plan.longest);
  for (std::size_t i = 0; i < corpora.size(); ++i)
    buffers_.emplace_back(corpora[i].corpus.name, position_.corpora[i], limits);
}

void Mixer::arrive(std::size_t corpus, EncodedRecord item) {
  if (!finished_) credit_[corpus] += buffers_[corpus].arrive(std::move(item));
}

std::uint64_t Mixer::take_credit(std::size_t corpus) {
  return std::exchange(credit_[corpus], 0);
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
    const PreparedPhase& plan = plans_[position_.phase];
    const auto length = static_cast<std::uint64_t>(plan.denoisers[choice_->denoiser].raw_length());
    try {
      switch (buffers_[choice_->corpus].supply(length, plan.separator)) {
        case TokenBuffer::Supply::enough:
          return cut(*std::exchange(choice_, std::nullopt));
        case TokenBuffer::Supply::wait:
          return std::nullopt;
        case TokenBuffer::Supply::ended:
          if (std::exchange(room_, 0) > 0) break;
          if (!close(std::exchange(choice_, std::nullopt)->corpus)) return last(MixedSegment::Kind::end, nullptr);
      }
    } catch (const std::exception&) {
      if (choice_) note_rejects(choice_->corpus, buffers_[choice_->corpus].take_rejects());
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
    restart_counters();
  }
  return true;
}

void Mixer::restart_counters() {
  const std::size_t denoisers = plans_[position_.phase].denoisers.size();
  for (TokenBuffer& buffer : buffers_) {
    buffer.position().phase_raw_tokens = 0;
    buffer.position().phase_examples.assign(denoisers, 0);
  }
}

/// Nothing if every corpus of the phase is closed.
std::optional<Mixer::Choice> Mixer::choose() const {
  const PreparedPhase& plan = plans_[position_.phase];
  std::vector<Quota> claimants;
  std::vector<std::size_t> denoisers;
  bool any_open = false;
  for (std::size_t i = 0; i < plan.corpora.size(); ++i) {
    const CorpusPosition& place = buffers_[plan.corpora[i]].position();
    denoisers.push_back(choose_denoiser(plan.corpora[i]));
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
    chosen = draw(claimants, rng);
  }
  return Choice{plan.corpora[chosen], denoisers[chosen]};
}

std::size_t Mixer::choose_denoiser(std::size_t corpus) const {
  const PreparedPhase& plan = plans_[position_.phase];
  const CorpusPosition& place = buffers_[corpus].position();
  std::vector<Quota> claimants;
  for (std::size_t d = 0; d < plan.denoisers.size(); ++d)
    claimants.push_back({plan.denoiser_shares[d], place.phase_examples[d], 1});
  if (config_.sampling == Sampling::quota) return choose_by_quota(claimants, 1);
  ItemRng rng(config_.seed, Purpose::random_sampling, item_of({position_.example, 1}));
  return draw(claimants, rng);
}

/// Positions that the next example takes.
int Mixer::length_of(const Choice& choice) const {
  return plans_[position_.phase].denoisers[choice.denoiser].example_length(
      ItemRng(config_.seed, Purpose::span_lengths, position_.example));
}

MixedSegment Mixer::cut(const Choice& choice) {
  const PreparedPhase& plan = plans_[position_.phase];
  TokenBuffer& buffer = buffers_[choice.corpus];
  const int length = length_of(choice);
  TokenBuffer::Cut cut =
      buffer.cut(static_cast<std::uint64_t>(plan.denoisers[choice.denoiser].raw_length()), plan.separator);
  ++buffer.position().phase_examples[choice.denoiser];
  credit_[choice.corpus] += cut.credit;
  note_rejects(choice.corpus, std::move(cut.rejects));

  MixedSegment mixed;
  mixed.number = segments_++;
  mixed.origin.example = position_.example++;
  mixed.origin.phase = position_.phase;
  mixed.origin.corpus = static_cast<std::uint32_t>(choice.corpus);
  mixed.origin.denoiser = static_cast<std::uint32_t>(choice.denoiser);
  mixed.origin.raw_tokens = cut.segment.raw_tokens;
  mixed.origin.segment_tokens = cut.segment.tokens.size();
  mixed.origin.documents_begun = cut.documents_begun;
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
  for (std::size_t i = 0; i < buffers_.size(); ++i) position_.corpora[i] = buffers_[i].position();
  return std::make_shared<const StreamPosition>(position_);
}

/// False if the stream ends with this corpus.
bool Mixer::close(std::size_t corpus) {
  note_rejects(corpus, buffers_[corpus].close());
  if (corpora_[corpus].corpus.at_end == AtEnd::stop) return false;
  restart_counters();
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
