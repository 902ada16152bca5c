#include "pipeline/formats/rows_provenance.h"

#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "pipeline/json_text.h"
#include "pipeline/json_value.h"
#include "pipeline/rows/row_provenance.h"
#include "stages/errors.h"

namespace millrace {

void RowsProvenance::add(const StreamRow& row) {
  const std::vector<CorpusPosition>& corpora = row.after->corpora;
  last_.resize(corpora.size());
  last_number_.resize(corpora.size());
  for (std::size_t i = 0; i < corpora.size(); ++i) {
    if (!lines_.empty() && corpora[i].place == last_[i]) continue;
    last_[i] = corpora[i].place;
    last_number_[i] = next_place_++;
    places_ += (places_.empty() ? "" : ",") + json_line(last_[i]);
  }
  Json json = origins_json(row);
  json["raw_tokens"] = {raw_tokens_.size() / sizeof(TokenId), row.raw_tokens.size()};
  json["after"] = position_json(*row.after, last_number_);
  lines_ += json_line(json) + "\n";
  raw_tokens_.append(reinterpret_cast<const char*>(row.raw_tokens.data()), row.raw_tokens.size() * sizeof(TokenId));
}

std::string RowsProvenance::bytes() const {
  return fmt::format("[{}]\n{}{}", places_, lines_, raw_tokens_);
}

RowsProvenanceReader::RowsProvenanceReader(std::string bytes, std::uint64_t rows, std::string name)
    : bytes_(std::move(bytes)), name_(std::move(name)) {
  begins_.push_back(0);
  while (begins_.size() < rows + 2) {
    const std::size_t end = bytes_.find('\n', begins_.back());
    if (end == std::string::npos)
      throw ConfigError(
          fmt::format("{}: the provenance has {} lines, expected {}", name_, begins_.size() - 1, rows + 1));
    begins_.push_back(end + 1);
  }
  const JsonSource source{fmt::format("{}: the places of the provenance", name_), 0, ""};
  places_ = JsonValue::parse(std::string_view(bytes_).substr(0, begins_[1]), source).as<std::vector<ReadingPlace>>();
}

void RowsProvenanceReader::fill(StreamRow& row, std::uint64_t index) const {
  const std::string_view line =
      std::string_view(bytes_).substr(begins_[index + 1], begins_[index + 2] - begins_[index + 1]);
  const JsonSource source{fmt::format("{}: the provenance of row {}", name_, row.number), 0, ""};
  const JsonValue json = JsonValue::parse(line, source);
  add_origins(row, json);
  row.after = std::make_shared<const StreamPosition>(position_from_json(json.at("after"), places_));
  const auto range = json.get<std::vector<std::uint64_t>>("raw_tokens");
  const std::uint64_t there = (bytes_.size() - begins_.back()) / sizeof(TokenId);
  if (range.size() != 2 || range[0] > there || range[1] > there - range[0])
    json.at("raw_tokens").fail(fmt::format("is no range of the {} raw tokens that are kept", there));
  row.raw_tokens.resize(range[1]);
  if (range[1] > 0)
    std::memcpy(row.raw_tokens.data(), bytes_.data() + begins_.back() + range[0] * sizeof(TokenId),
                range[1] * sizeof(TokenId));
}

}  // namespace millrace
