#include "stages/records.h"

namespace millrace {

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
