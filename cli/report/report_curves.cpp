#include "cli/report/report_curves.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "pipeline/json_text.h"

namespace millrace {
namespace {

/// More than a screen can show, fewer than a double has.
constexpr int kDigits = 7;
constexpr int kDigitsOfMeans = 4;

/// The number rounded to this many digits, which makes its text short.
double rounded(double value, int digits) {
  return std::strtod(fmt::format("{:.{}g}", value, digits).c_str(), nullptr);
}

}  // namespace

void ThinnedCurves::begin_row(std::uint64_t step) {
  if (rows_ == most_buckets_ * rows_per_bucket_) halve();
  const std::uint64_t bucket = rows_ / rows_per_bucket_;
  if (bucket == steps_.size()) steps_.push_back({step, step});
  steps_.back().last = step;
  ++rows_;
}

void ThinnedCurves::add(std::string_view curve, double value) {
  if (!std::isfinite(value)) return;
  auto found = curves_.find(curve);
  if (found == curves_.end()) found = curves_.emplace(curve, std::vector<Bucket>{}).first;
  found->second.resize(steps_.size());
  merge(found->second.back(), {.minimum = value, .maximum = value, .sum = value, .count = 1});
}

void ThinnedCurves::merge(Bucket& into, const Bucket& later) {
  if (later.count == 0) return;
  if (into.count == 0) {
    into = later;
    return;
  }
  const bool lower = later.minimum < into.minimum;
  const bool higher = later.maximum > into.maximum;
  if (lower && higher) {
    into.minimum_first = later.minimum_first;
  } else if (lower) {
    into.minimum_first = false;
  } else if (higher) {
    into.minimum_first = true;
  }
  into.minimum = std::min(into.minimum, later.minimum);
  into.maximum = std::max(into.maximum, later.maximum);
  into.sum += later.sum;
  into.count += later.count;
}

void ThinnedCurves::halve() {
  const std::size_t half = (steps_.size() + 1) / 2;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (i % 2 == 0) steps_[i / 2] = steps_[i];
    steps_[i / 2].last = steps_[i].last;
  }
  steps_.resize(half);
  for (auto& [name, buckets] : curves_) {
    buckets.resize(half * 2);
    for (std::size_t i = 0; i < half; ++i) {
      Bucket joined = buckets[2 * i];
      merge(joined, buckets[2 * i + 1]);
      buckets[i] = joined;
    }
    buckets.resize(half);
  }
  rows_per_bucket_ *= 2;
}

double ThinnedCurves::recent_mean(std::string_view curve, std::size_t buckets, double otherwise) const {
  const auto found = curves_.find(curve);
  if (found == curves_.end()) return otherwise;
  double sum = 0;
  std::uint64_t count = 0;
  for (auto bucket = found->second.rbegin(); bucket != found->second.rend() && buckets > 0; ++bucket) {
    if (bucket->count == 0) continue;
    sum += bucket->sum;
    count += bucket->count;
    --buckets;
  }
  return count == 0 ? otherwise : sum / static_cast<double>(count);
}

Json ThinnedCurves::json() const {
  const bool whole = rows_per_bucket_ == 1;
  Json steps = Json::array();
  for (const Steps& bucket : steps_) {
    steps.push_back(bucket.first);
    if (!whole) steps.push_back(bucket.last);
  }
  Json curves = Json::object();
  for (const auto& [name, buckets] : curves_) {
    Json values = Json::array();
    Json means = Json::array();
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const Bucket bucket = i < buckets.size() ? buckets[i] : Bucket();
      const bool has = bucket.count > 0;
      const auto [first, second] =
          bucket.minimum_first ? std::pair(bucket.minimum, bucket.maximum) : std::pair(bucket.maximum, bucket.minimum);
      values.push_back(has ? Json(rounded(first, kDigits)) : Json());
      if (whole) continue;
      values.push_back(has ? Json(rounded(second, kDigits)) : Json());
      means.push_back(has ? Json(rounded(bucket.sum / static_cast<double>(bucket.count), kDigits)) : Json());
    }
    Json& curve = curves[name];
    curve["value"] = std::move(values);
    if (!whole) curve["mean"] = std::move(means);
  }
  return {{"rows_per_bucket", rows_per_bucket_}, {"step", std::move(steps)}, {"curves", std::move(curves)}};
}

Json ThinnedCurves::means_json() const {
  Json steps = Json::array();
  for (const Steps& bucket : steps_) steps.push_back(bucket.first);
  Json curves = Json::object();
  for (const auto& [name, buckets] : curves_) {
    Json& means = curves[name] = Json::array();
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      const Bucket bucket = i < buckets.size() ? buckets[i] : Bucket();
      const double mean = bucket.sum / static_cast<double>(bucket.count);
      means.push_back(bucket.count > 0 ? Json(rounded(mean, kDigitsOfMeans)) : Json());
    }
  }
  return {{"rows_per_bucket", rows_per_bucket_}, {"step", std::move(steps)}, {"curves", std::move(curves)}};
}

}  // namespace millrace
