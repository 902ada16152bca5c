#include "pipeline/corpora/loss_judge.h"

#include <algorithm>
#include <filesystem>
#include <tuple>

#include <fmt/format.h>

#include "pipeline/keys/toml_writer.h"

namespace millrace {
namespace {

double part_of(std::uint64_t lost, std::uint64_t sound) {
  return lost == 0 ? 0 : static_cast<double>(lost) / (static_cast<double>(lost) + static_cast<double>(sound));
}

/// "0.2 %"; never rounds a positive part to 0 %.
std::string percent(double part) {
  return fmt::format("{:.3g} %", 100 * part);
}

}  // namespace

double lost_part(const Loss& sound, const Loss& lost) {
  return std::max(part_of(lost.records, sound.records), part_of(lost.bytes, sound.bytes));
}

bool is_of_a_record(RejectCause cause) {
  return cause <= RejectCause::too_long;
}

bool says_unreadable(RejectCause cause, const RecordLayout& layout) {
  if (cause == RejectCause::empty_text || cause == RejectCause::too_long) return false;
  return !layout.is_text() || !is_of_a_record(cause);
}

std::string text_of(const Reject& reject) {
  const RecordLocation& where = reject.where;
  const std::string line = where.line > 0 ? fmt::format(":{}", where.line) : "";
  return fmt::format("{}{} (record {}, byte {}): {}: {}", where.shard, line, where.record, where.byte,
                     name_of(reject.cause), reject.reason);
}

std::string refusal_of(const Reject& reject, const std::string& corpus) {
  return fmt::format("{}\n  in corpus \"{}\"; to skip such records set on_bad_data = \"skip\"", text_of(reject),
                     corpus);
}

std::string unreadable_shard(const std::string& corpus, const std::string& shard, const Reject& first) {
  return fmt::format(
      "{}: nothing of this shard of corpus \"{}\" could be read: {}\n"
      "Mend the shard or take it out of the mix, or let it be: [data] allow_unreadable = [{}]",
      shard, corpus, text_of(first), quoted(shard));
}

void LossJudge::note(const Reject& reject) {
  if (reject.loss == Loss{0, 0}) return;
  Cause& cause = causes_[static_cast<std::size_t>(reject.cause)];
  if (!cause.first) cause.first = text_of(reject);
  ++cause.rejects;
  cause.lost += reject.loss;
}

std::optional<std::string> LossJudge::verdict(const RecordCounts& counts, bool at_end) const {
  const Loss sound = counts.sound();
  Loss all = sound;
  all += counts.lost;
  if (!at_end && all.records < kRecordsBeforeJudging && all.bytes < kBytesBeforeJudging) return std::nullopt;
  const double part = lost_part(sound, counts.lost);
  if (part <= max_bad_fraction_) return std::nullopt;

  std::string text = fmt::format(
      "corpus \"{}\": {} is lost, more than max_bad_fraction = {} allows: {} of {} records, {} of {} bytes of content",
      corpus_, percent(part), max_bad_fraction_, counts.lost.records, all.records, counts.lost.bytes, all.bytes);
  const auto most = std::ranges::max_element(
      causes_, {}, [&](const Cause& cause) { return std::tuple(lost_part(sound, cause.lost), cause.rejects); });
  Loss noted{0, 0};
  for (const Cause& cause : causes_) noted += cause.lost;
  if (noted != counts.lost) text += "\n  part of it before this run was gone on with: rejects.jsonl names it";
  if (most->first) text += fmt::format("\n  most of it, {} rejects, as first: {}", most->rejects, *most->first);
  return text + "\nMend the shards (millrace index names what is wrong with them) or raise [data] max_bad_fraction";
}

}  // namespace millrace
