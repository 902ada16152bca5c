#include "model/cost/peak_flops.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <unordered_map>
#include <vector>

#include <dnnl.hpp>

namespace millrace {

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

}  // namespace millrace
