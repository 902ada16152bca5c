#include "pipeline/config/share_percent.h"

#include <cmath>

#include <fmt/format.h>

namespace millrace {
namespace {

constexpr double kUnitsPerPercent = static_cast<double>(kShareUnits) / kPercent;

}  // namespace

double percent(ShareUnits share) {
  return static_cast<double>(share) / kUnitsPerPercent;
}

ShareUnits read_share(const ConfigTable& table) {
  const double share = table.number("share", NumberRange{.least = 0, .most = kPercent});
  const auto units = static_cast<ShareUnits>(std::round(share * kUnitsPerPercent));
  if (units == 0)
    table.fail("share", fmt::format("is {}, expected at least {}: shares are counted in billionths of the whole", share,
                                    percent(1)));
  return units;
}

}  // namespace millrace
