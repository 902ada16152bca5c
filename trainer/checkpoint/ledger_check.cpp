#include "trainer/checkpoint/ledger_check.h"

#include <map>
#include <stdexcept>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {
namespace {

class DoesNotAddUp : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

void expect_equal(const std::string& what, std::uint64_t in_ledger, const char* elsewhere, std::uint64_t count) {
  if (in_ledger == count) return;
  throw DoesNotAddUp(fmt::format("the ledger does not add up: it has {} {}, {} {}", in_ledger, what, elsewhere, count));
}

/// Throws DoesNotAddUp.
void add_up(const TrainState& state, const TrainedTotals& seen, const std::vector<std::string>& corpora) {
  std::uint64_t examples = 0;
  std::map<std::string, std::uint64_t> raw_tokens;
  for (const auto& [key, entry] : state.ledger.entries()) {
    examples += entry.examples;
    raw_tokens[corpora.at(key.corpus)] += entry.raw_tokens;
  }
  constexpr const char* kSeen = "the trainer saw";
  expect_equal("positions", state.ledger.positions(), kSeen, seen.positions);
  expect_equal("loss tokens", state.ledger.loss_tokens(), kSeen, seen.loss_tokens);

  constexpr const char* kReached = "the stream's position says";
  const StreamPosition position = state.position.value_or(StreamPosition());
  expect_equal("rows", state.ledger.rows(), kReached, position.row);
  expect_equal("examples", examples, kReached, position.example);
  std::uint64_t all_tokens = 0;
  for (const CorpusPosition& corpus : position.corpora) {
    expect_equal("raw tokens of " + corpus.corpus, raw_tokens[corpus.corpus], kReached, corpus.raw_tokens);
    all_tokens += corpus.raw_tokens;
  }
  expect_equal("raw tokens", state.ledger.raw_tokens(), kReached, all_tokens);
}

}  // namespace

void check_ledger(const TrainState& state, const TrainedTotals& seen, const std::vector<std::string>& corpora) {
  try {
    add_up(state, seen, corpora);
  } catch (const DoesNotAddUp& error) {
    throw std::logic_error(fmt::format("{}; training stopped, the last checkpoint is good", error.what()));
  }
}

void expect_sound(const TrainState& state, const std::vector<std::string>& corpora,
                  const std::vector<std::vector<std::string>>& denoisers, const std::string& where) {
  const auto expect_below = [&where](const char* what, std::uint64_t number, std::size_t count) {
    if (number < count) return;
    throw ConfigError(fmt::format("{}: refers to {} {}, but the run has only {} of them, counted from 0", where, what,
                                  number, count));
  };
  for (const auto& [key, entry] : state.ledger.entries()) {
    expect_below("phase", key.phase, denoisers.size());
    expect_below("corpus", key.corpus, corpora.size());
    expect_below("denoiser", key.denoiser, denoisers[key.phase].size());
  }
  if (state.step_phase) expect_below("phase", *state.step_phase, denoisers.size());
  if (!state.longest_example.empty()) expect_below("phase", state.longest_example.size() - 1, denoisers.size());
  try {
    add_up(state, {state.ledger.positions(), state.ledger.loss_tokens()}, corpora);
  } catch (const DoesNotAddUp& error) {
    throw ConfigError(fmt::format("{}: {}", where, error.what()));
  }
}

}  // namespace millrace
