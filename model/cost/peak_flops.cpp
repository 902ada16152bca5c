#include "model/cost/peak_flops.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <vector>

#ifdef MILLRACE_HAS_ONEDNN
#include <dnnl.hpp>
#endif

#include "model/cpu/cpu_device.h"
#include "model/device/buffer.h"

namespace millrace {

#ifdef MILLRACE_HAS_ONEDNN
double product_rate(Precision precision, int side, double seconds) {
  using Clock = std::chrono::steady_clock;
  using Memory = dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto type = precision == Precision::bf16 ? Memory::data_type::bf16 : Memory::data_type::f32;
  const Memory::desc in({side, side}, type, Memory::format_tag::ab);
  const Memory::desc out({side, side}, Memory::data_type::f32, Memory::format_tag::ab);
  const dnnl::matmul product(dnnl::matmul::primitive_desc(dnnl::matmul::desc(in, in, out), engine));
  const auto elements = static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
  std::vector<float> a(elements, 0.5F), b(elements, 0.25F), c(elements);
  const std::unordered_map<int, Memory> arguments{{DNNL_ARG_SRC, {in, engine, a.data()}},
                                                  {DNNL_ARG_WEIGHTS, {in, engine, b.data()}},
                                                  {DNNL_ARG_DST, {out, engine, c.data()}}};
  const auto seconds_since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const Clock::time_point begin = Clock::now();
  double best = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < 3 || seconds_since(begin) < seconds; ++repeat) {
    const Clock::time_point start = Clock::now();
    product.execute(stream, arguments);
    stream.wait();
    best = std::min(best, seconds_since(start));
  }
  return 2.0 * side * side * side / best;
}
#else
double product_rate(Precision precision, int side, double /*seconds*/) {
  CpuDevice device(precision);
  return product_rate(device, side);
}
#endif

double product_rate(Device& device, Index side) {
  using Clock = std::chrono::steady_clock;
  Buffer a(device), b(device), c(device);
  const Product product{a.shaped(side, side, device.low()), b.shaped(side, side, device.low()),
                        c.shaped(side, side, device.real())};
  // Numbers that are not all alike: a card that switches less draws less power, and is faster than it is at work.
  std::vector<std::uint16_t> numbers(static_cast<std::size_t>(side * side) * bytes_of(device.low()) / 2);
  std::uint32_t last = 1;
  for (std::uint16_t& number : numbers) {
    last = last * 1664525U + 1013904223U;
    number = static_cast<std::uint16_t>(0x3f00U | (last >> 25U) | (last >> 16U & 0x8000U));
  }
  for (const Tensor* factor : {&product.a, &product.b})
    device.to_device(factor->data, numbers.data(), numbers.size() * sizeof(numbers[0]));
  double best = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < 5; ++repeat) {
    device.wait();
    const Clock::time_point start = Clock::now();
    device.multiply(product);
    device.wait();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  const auto n = static_cast<double>(side);
  return 2 * n * n * n / best;
}

}  // namespace millrace
