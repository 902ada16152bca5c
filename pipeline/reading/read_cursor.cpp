#include "pipeline/reading/read_cursor.h"

namespace millrace {

std::string PositionSource::told(const std::string& complaint) const {
  return (place.empty() ? "the position to start from" : place) + ": " + complaint;
}

}  // namespace millrace
