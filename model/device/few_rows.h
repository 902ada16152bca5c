#pragma once

#include "model/device/device.h"

namespace millrace {

/// Products of so few rows that what they take is reading the weights: generating a token at a time. A device with its
/// own memory makes them by a kernel (kernels/multiply_rows.h), and so reads the weights of those experts alone that
/// have rows.

/// Rows of all experts together. So many read fewer experts' weights than there are, or not many more.
constexpr Index kMostFewRows = 16;

/// Whether a product is one: of a single row, or Ragged::rows of few, not added to what is there; a plain, and not f64.
bool has_few_rows(const Product& product);

/// REQUIRES: has_few_rows(product).
void multiply_few_rows(Device& device, const Product& product);

}  // namespace millrace
