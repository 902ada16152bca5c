#include "model/ops/gemm_bf16.h"

#include <array>
#include <cstddef>
#include <unordered_map>

#include <dnnl.hpp>

namespace millrace {

namespace {

/// Everything that a compiled oneDNN product depends on.
struct Shape {
  Index rows, columns, inner, a_stride, b_stride, c_stride;
  Stored a_stored, b_stored;
  Into into;
  bool operator==(const Shape&) const = default;
};

struct ShapeHash {
  std::size_t operator()(const Shape& shape) const {
    std::size_t hash = (shape.a_stored == Stored::plain ? 1U : 0U) + (shape.b_stored == Stored::plain ? 2U : 0U) +
                       (shape.into == Into::add ? 4U : 0U);
    for (const Index part : {shape.rows, shape.columns, shape.inner, shape.a_stride, shape.b_stride, shape.c_stride}) {
      hash = (hash ^ static_cast<std::size_t>(part)) * 0x9e3779b97f4a7c15U;
      hash ^= hash >> 29U;
    }
    return hash;
  }
};

/// A compiled product and the arguments that its next run will have.
struct Product {
  dnnl::matmul primitive;
  dnnl::memory a, b, c, scratch;
  std::size_t scratch_bytes = 0;
};

/// One thread's compiled products.
class Products {
 public:
  void run(const Shape& shape, const Bf16* a, const Bf16* b, float* c) {
    Product& product = compiled(shape);
    const auto scratch = static_cast<Index>(product.scratch_bytes);
    if (scratch > scratch_.columns()) scratch_.reshape(1, scratch);
    // oneDNN's handles are void pointers; it does not write to what a product reads.
    product.a.set_data_handle(const_cast<Bf16*>(a));
    product.b.set_data_handle(const_cast<Bf16*>(b));
    product.c.set_data_handle(c);
    product.scratch.set_data_handle(scratch_.data());
    const std::array<dnnl_exec_arg_t, 4> arguments{{{DNNL_ARG_SRC, product.a.get()},
                                                    {DNNL_ARG_WEIGHTS, product.b.get()},
                                                    {DNNL_ARG_DST, product.c.get()},
                                                    {DNNL_ARG_SCRATCHPAD, product.scratch.get()}}};
    dnnl::error::wrap_c_api(dnnl_primitive_execute(product.primitive.get(), stream_.get(),
                                                   static_cast<int>(arguments.size()), arguments.data()),
                            "a product of bf16");
    stream_.wait();
  }

 private:
  static dnnl::memory::desc described(Index rows, Index columns, Index stride, Stored stored,
                                      dnnl::memory::data_type type) {
    const dnnl::memory::dims strides =
        stored == Stored::plain ? dnnl::memory::dims{stride, 1} : dnnl::memory::dims{1, stride};
    return {{rows, columns}, type, strides};
  }

  Product& compiled(const Shape& shape) {
    const auto found = products_.find(shape);
    if (found != products_.end()) return found->second;
    if (products_.size() >= kMostProducts) products_.clear();
    using Type = dnnl::memory::data_type;
    const auto a = described(shape.rows, shape.inner, shape.a_stride, shape.a_stored, Type::bf16);
    const auto b = described(shape.inner, shape.columns, shape.b_stride, shape.b_stored, Type::bf16);
    const auto c = described(shape.rows, shape.columns, shape.c_stride, Stored::plain, Type::f32);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (shape.into == Into::add) {
      dnnl::post_ops add;
      add.append_sum(1.0F);
      attributes.set_post_ops(add);
    }
    const dnnl::matmul::primitive_desc plan(dnnl::matmul::desc(a, b, c), attributes, engine_);
    const auto on = [&](const dnnl::memory::desc& desc) { return dnnl::memory(desc, engine_, nullptr); };
    return products_
        .emplace(shape, Product{dnnl::matmul(plan), on(a), on(b), on(c), on(plan.scratchpad_desc()),
                                plan.scratchpad_desc().get_size()})
        .first->second;
  }

  static constexpr std::size_t kMostProducts = 8192;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::unordered_map<Shape, Product, ShapeHash> products_;
  Matrix<char> scratch_;
};

}  // namespace

void serial_bf16_product(View<const Bf16> a, Stored a_stored, View<const Bf16> b, Stored b_stored, View<float> c,
                         Into into) {
  if (c.rows == 0 || c.columns == 0) return;
  thread_local Products products;
  const Index inner = a_stored == Stored::plain ? a.columns : a.rows;
  products.run({c.rows, c.columns, inner, a.stride, b.stride, c.stride, a_stored, b_stored, into}, a.data, b.data,
               c.data);
}

}  // namespace millrace
