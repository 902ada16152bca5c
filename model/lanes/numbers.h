#pragma once

#include "model/bf16.h"
#include "model/host_device.h"
#include "model/tensor.h"

namespace millrace {

/// The types of a precision: `Real` is what the residual stream, gradients of it, norms, routers, softmax and loss are
/// computed in; `Low` is what lies between products.
template <Precision kPrecision>
struct NumbersOf;
template <>
struct NumbersOf<Precision::f64> {
  using Real = double;
  using Low = double;
};
template <>
struct NumbersOf<Precision::f32> {
  using Real = float;
  using Low = float;
};
template <>
struct NumbersOf<Precision::bf16> {
  using Real = float;
  using Low = Bf16;
};

constexpr Type real_type(Precision precision) {
  return precision == Precision::f64 ? Type::f64 : Type::f32;
}
constexpr Type low_type(Precision precision) {
  return precision == Precision::bf16 ? Type::bf16 : real_type(precision);
}

/// A number of any of the types, to compute with.
MILLRACE_HD float value_of(Bf16 number) {
  return widened(number);
}
MILLRACE_HD float value_of(float number) {
  return number;
}
MILLRACE_HD double value_of(double number) {
  return number;
}

/// A result as a number of the type that is stored.
template <class Stored, class Real>
MILLRACE_HD Stored stored_as(Real number) {
  if constexpr (sizeof(Stored) == 2) {
    return rounded(number);
  } else {
    return static_cast<Stored>(number);
  }
}

}  // namespace millrace
