#include "pipeline/corpora/reject_notices.h"

#include <fmt/format.h>

#include "pipeline/corpora/loss_judge.h"

namespace millrace {
namespace {

bool is_power_of_ten(std::uint64_t number) {
  while (number > 0 && number % 10 == 0) number /= 10;
  return number == 1;
}

}  // namespace

std::optional<std::string> RejectNotices::line(const std::string& corpus, const Reject& reject) {
  const std::uint64_t count = ++counts_[corpus][static_cast<std::size_t>(reject.cause)];
  if (!is_power_of_ten(count)) return std::nullopt;
  const std::string which = count == 1 ? "first" : fmt::format("number {}", count);
  return fmt::format("rejected in corpus \"{}\", {} of its cause: {}", corpus, which, text_of(reject));
}

}  // namespace millrace
