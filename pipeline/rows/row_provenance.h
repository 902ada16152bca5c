#pragma once

#include <string>

#include "pipeline/rows/stream_row.h"

namespace millrace {

/// Everything of a StreamRow but its number and its arrays, as one line of JSON: where the row came from, what was
/// passed over before it, and the position behind it.
std::string story_of(const StreamRow& row);

/// Fills `row` with what story_of told. Throws DataError, naming the file that the text is from, if it is no story.
void add_story(StreamRow& row, const std::string& story, const std::string& file);

}  // namespace millrace
