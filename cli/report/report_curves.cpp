#include "cli/report/report_curves.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace millrace {
namespace {

/// More than a screen can show, fewer than a double has.
void append_number(std::string& out, double value) {
  fmt::format_to(std::back_inserter(out), "{:.7g}", value);
}

template <class Items, class Append>
void append_list(std::string& out, const Items& items, const Append& append) {
  out += '[';
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += ',';
    first = false;
    append(item);
  }
  out += ']';
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
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

std::string ThinnedCurves::json() const {
  const bool whole = rows_per_bucket_ == 1;
  std::string out = fmt::format("{{\"rows_per_bucket\":{},\"step\":", rows_per_bucket_);
  append_list(out, steps_, [&](const Steps& steps) {
    out += whole ? fmt::format("{}", steps.first) : fmt::format("{},{}", steps.first, steps.last);
  });
  out += ",\"curves\":{";
  for (auto curve = curves_.begin(); curve != curves_.end(); ++curve) {
    std::vector<Bucket> buckets = curve->second;
    buckets.resize(steps_.size());
    out += (curve == curves_.begin() ? "" : ",") + quoted(curve->first) + ":{\"value\":";
    append_list(out, buckets, [&](const Bucket& bucket) {
      if (bucket.count == 0) {
        out += whole ? "null" : "null,null";
        return;
      }
      append_number(out, bucket.minimum_first ? bucket.minimum : bucket.maximum);
      if (whole) return;
      out += ',';
      append_number(out, bucket.minimum_first ? bucket.maximum : bucket.minimum);
    });
    if (!whole) {
      out += ",\"mean\":";
      append_list(out, buckets, [&](const Bucket& bucket) {
        if (bucket.count == 0)
          out += "null";
        else
          append_number(out, bucket.sum / static_cast<double>(bucket.count));
      });
    }
    out += '}';
  }
  return out + "}}";
}

std::string ThinnedCurves::means_json() const {
  std::string out = fmt::format("{{\"rows_per_bucket\":{},\"step\":", rows_per_bucket_);
  append_list(out, steps_, [&](const Steps& steps) { out += fmt::format("{}", steps.first); });
  out += ",\"curves\":{";
  for (auto curve = curves_.begin(); curve != curves_.end(); ++curve) {
    std::vector<Bucket> buckets = curve->second;
    buckets.resize(steps_.size());
    out += (curve == curves_.begin() ? "" : ",") + quoted(curve->first) + ":";
    append_list(out, buckets, [&](const Bucket& bucket) {
      if (bucket.count == 0)
        out += "null";
      else
        fmt::format_to(std::back_inserter(out), "{:.4g}", bucket.sum / static_cast<double>(bucket.count));
    });
  }
  return out + "}}";
}

}  // namespace millrace
