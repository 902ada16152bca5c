#include "cli/views/compute_view.h"

#include <fmt/format.h>

#include "cli/console/progress.h"
#include "cli/console/text_table.h"
#include "pipeline/json_text.h"

namespace millrace {
namespace {

bool knows_vocabulary(const ParameterCounts& counts) {
  return counts.head > 0;
}

}  // namespace

std::string compute_table(const ParameterCounts& counts, double positions) {
  TextTable table({{"parameters", Align::left}, {"count"}, {"x tokens"}, {"6 N D, FLOP"}, {"", Align::left}});
  const auto add = [&](const char* name, std::int64_t count, const char* of) {
    const auto number = static_cast<double>(count);
    table.add({name, human_count(number), fmt::format("{:.3g}", number * positions),
               fmt::format("{:.3g}", training_operations(count, positions)), of});
  };
  if (knows_vocabulary(counts)) {
    table.add({"all", human_count(static_cast<double>(counts.all())), "", "", "embedding and head included"});
    add("activated", counts.activated(), "of a token: layers and head, without the experts it is not sent to");
  }
  add("in layers", counts.activated_layers,
      knows_vocabulary(counts) ? "of them" : "activated; the head's and all: with a vocabulary (--vocab)");
  return table.text();
}

Json compute_json(const ParameterCounts& counts, double positions) {
  const auto known = [&](auto number) { return knows_vocabulary(counts) ? Json(number) : Json(); };
  return {{"all", known(counts.all())},
          {"activated", known(counts.activated())},
          {"activated_layers", counts.activated_layers},
          {"positions", positions},
          {"activated_x_positions", known(static_cast<double>(counts.activated()) * positions)},
          {"operations", known(training_operations(counts.activated(), positions))}};
}

}  // namespace millrace
