#include "stages/records.h"

#include <limits>
#include <utility>

namespace millrace {
namespace {

std::uint64_t sum_of(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::uint64_t>::max() : sum;
}

}  // namespace

Loss& Loss::operator+=(const Loss& other) {
  records = sum_of(records, other.records);
  bytes = sum_of(bytes, other.bytes);
  return *this;
}

Reject rejected_record(RecordLocation where, RejectCause cause, std::string reason) {
  const std::uint64_t size = where.size;
  return {std::move(where), cause, std::move(reason), 0, {1, size}};
}

const char* name_of(RejectCause cause) {
  switch (cause) {
    case RejectCause::bad_json:
      return "bad_json";
    case RejectCause::bad_utf8:
      return "bad_utf8";
    case RejectCause::not_object:
      return "not_object";
    case RejectCause::missing_field:
      return "missing_field";
    case RejectCause::wrong_type:
      return "wrong_type";
    case RejectCause::empty_text:
      return "empty_text";
    case RejectCause::too_long:
      return "too_long";
    case RejectCause::truncated:
      return "truncated";
    case RejectCause::damaged_frame:
      return "damaged_frame";
    case RejectCause::trailing_garbage:
      return "trailing_garbage";
    case RejectCause::damaged_footer:
      return "damaged_footer";
    case RejectCause::damaged_page:
      return "damaged_page";
    case RejectCause::missing_column:
      return "missing_column";
    case RejectCause::unreadable:
      return "unreadable";
  }
  return "unknown";
}

}  // namespace millrace
