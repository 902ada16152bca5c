#include "model/cpu/onednn_product.h"

#include <array>
#include <cstddef>
#include <stdexcept>
#include <unordered_map>

#include <dnnl.h>
#include <dnnl.hpp>

namespace millrace {
namespace {

/// Everything that a compiled product depends on.
struct CompiledShape {
  Index rows, columns, inner, a_stride, b_stride, c_stride;
  Product::Side a_side, b_side;
  Type c_type;
  bool add;
  bool operator==(const CompiledShape&) const = default;
};

struct CompiledShapeHash {
  std::size_t operator()(const CompiledShape& shape) const {
    std::size_t hash = (shape.a_side == Product::Side::plain ? 1U : 0U) +
                       (shape.b_side == Product::Side::plain ? 2U : 0U) + (shape.add ? 4U : 0U) +
                       (shape.c_type == Type::bf16 ? 8U : 0U);
    for (const Index part : {shape.rows, shape.columns, shape.inner, shape.a_stride, shape.b_stride, shape.c_stride}) {
      hash = (hash ^ static_cast<std::size_t>(part)) * 0x9e3779b97f4a7c15U;
      hash ^= hash >> 29U;
    }
    return hash;
  }
};

/// A compiled product and the arguments that its next run will have.
struct CompiledProduct {
  dnnl::matmul primitive;
  dnnl::memory a, b, c, scratch;
  std::size_t scratch_bytes = 0;
};

/// One thread's compiled products.
class CompiledProducts {
 public:
  void run(const CompiledShape& shape, void* a, void* b, void* c) {
    CompiledProduct& product = compiled(shape);
    const auto scratch = static_cast<Index>(product.scratch_bytes);
    if (scratch > scratch_.columns()) scratch_.reshape(1, scratch);
    product.a.set_data_handle(a);
    product.b.set_data_handle(b);
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
  using DataType = dnnl::memory::data_type;

  static dnnl::memory::desc described(Index rows, Index columns, Index stride, Product::Side side, DataType type) {
    const dnnl::memory::dims strides =
        side == Product::Side::plain ? dnnl::memory::dims{stride, 1} : dnnl::memory::dims{1, stride};
    return {{rows, columns}, type, strides};
  }

  CompiledProduct& compiled(const CompiledShape& shape) {
    const auto found = products_.find(shape);
    if (found != products_.end()) return found->second;
    if (products_.size() >= kMostProducts) products_.clear();
    const auto a = described(shape.rows, shape.inner, shape.a_stride, shape.a_side, DataType::bf16);
    const auto b = described(shape.inner, shape.columns, shape.b_stride, shape.b_side, DataType::bf16);
    const auto c = described(shape.rows, shape.columns, shape.c_stride, Product::Side::plain,
                             shape.c_type == Type::bf16 ? DataType::bf16 : DataType::f32);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (shape.add) {
      dnnl::post_ops add;
      add.append_sum(1.0F);
      attributes.set_post_ops(add);
    }
    const dnnl::matmul::primitive_desc plan(dnnl::matmul::desc(a, b, c), attributes, engine_);
    const auto on = [&](const dnnl::memory::desc& desc) { return dnnl::memory(desc, engine_, nullptr); };
    return products_
        .emplace(shape, CompiledProduct{dnnl::matmul(plan), on(a), on(b), on(c), on(plan.scratchpad_desc()),
                                        plan.scratchpad_desc().get_size()})
        .first->second;
  }

  static constexpr std::size_t kMostProducts = 8192;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::unordered_map<CompiledShape, CompiledProduct, CompiledShapeHash> products_;
  Matrix<char> scratch_;
};

Index terms_of(const Product& product) {
  return product.a_side == Product::Side::plain ? product.a.columns : product.a.rows;
}

/// oneDNN refuses strides shorter than a row, which a single row may have.
Index whole_stride(const Tensor& tensor) {
  return tensor.rows > 1 ? tensor.stride : tensor.columns;
}

}  // namespace

void onednn_product_f32(const Product& product) {
  const auto letter = [](Product::Side side) { return side == Product::Side::plain ? 'N' : 'T'; };
  const dnnl_status_t status =
      dnnl_sgemm(letter(product.a_side), letter(product.b_side), product.c.rows, product.c.columns, terms_of(product),
                 1.0F, product.a.row<const float>(0), whole_stride(product.a), product.b.row<const float>(0),
                 whole_stride(product.b), product.add ? 1.0F : 0.0F, product.c.row<float>(0), whole_stride(product.c));
  if (status != dnnl_success) throw std::logic_error("oneDNN refuses the product " + shape_of(product));
}

void onednn_product_bf16(const Product& product) {
  thread_local CompiledProducts products;
  products.run({product.c.rows, product.c.columns, terms_of(product), whole_stride(product.a), whole_stride(product.b),
                whole_stride(product.c), product.a_side, product.b_side, product.c.type, product.add},
               product.a.data, product.b.data, product.c.data);
}

}  // namespace millrace
