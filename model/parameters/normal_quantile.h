#pragma once

namespace millrace {

/// x with P(X < x) = p for a standard normal X, to about 1e-15.   REQUIRES: 0 < p < 1.
double normal_quantile(double p);

/// The float nearest to scale * normal_quantile(p): the same bits, in a fraction of the time.
float scaled_normal_quantile(double p, double scale);

}  // namespace millrace
