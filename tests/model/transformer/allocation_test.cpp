// Counts the allocations of a training step, of any size: all calls of operator new, and malloc, calloc, realloc,
// aligned_alloc and posix_memalign as Millrace's own code calls them (the linker wraps them, see
// CMakeLists.txt). oneDNN's own allocations cannot be avoided and do not count: it builds a list of arguments for every
// product.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <vector>

#include <dlfcn.h>
#include <gtest/gtest.h>

#include "model/cpu/cpu_attention.h"
#include "model/cpu/cpu_products.h"
#include "model/optimizer/adafactor.h"
#include "model/transformer/transformer.h"
#include "tests/model/device/typed_numbers.h"
#include "tests/model/test_support.h"
#include "trainer/rows_to_batch.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};

void note() {
  if (counting) ++allocations;
}

void note_unless_in_onednn(void* caller) {
  if (!counting) return;
  Dl_info info{};
  if (dladdr(caller, &info) != 0 && std::strstr(info.dli_fname, "libdnnl") != nullptr) return;
  ++allocations;
}

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier): the names the linker gives.
extern "C" {
void* __real_malloc(std::size_t bytes);
void* __real_calloc(std::size_t count, std::size_t bytes);
void* __real_realloc(void* memory, std::size_t bytes);
void* __real_aligned_alloc(std::size_t alignment, std::size_t bytes);
int __real_posix_memalign(void** memory, std::size_t alignment, std::size_t bytes);

void* __wrap_malloc(std::size_t bytes) {
  note();
  return __real_malloc(bytes);
}
void* __wrap_calloc(std::size_t count, std::size_t bytes) {
  note();
  return __real_calloc(count, bytes);
}
void* __wrap_realloc(void* memory, std::size_t bytes) {
  note();
  return __real_realloc(memory, bytes);
}
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  note();
  return __real_aligned_alloc(alignment, bytes);
}
int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  note();
  return __real_posix_memalign(memory, alignment, bytes);
}
}

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  note_unless_in_onednn(__builtin_return_address(0));
  void* memory = __real_malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new[](std::size_t bytes) {
  note_unless_in_onednn(__builtin_return_address(0));
  void* memory = __real_malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  note_unless_in_onednn(__builtin_return_address(0));
  return __real_malloc(bytes);
}
[[gnu::noinline]] void* operator new[](std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
  note_unless_in_onednn(__builtin_return_address(0));
  return __real_malloc(bytes);
}
// NOLINTEND(bugprone-reserved-identifier)
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace millrace {
namespace {

int allocations_of(const std::function<void()>& work) {
  allocations = 0;
  counting = true;
  work();
  counting = false;
  return allocations;
}

const void* volatile escaped;  ///< Keeps the compiler from removing allocations.

TEST(Allocation, CounterSeesEachKind) {
  const volatile int size = 3;
  const int count = size;
  EXPECT_EQ(allocations_of([] {}), 0);
  EXPECT_EQ(allocations_of([&] {
              const std::vector<char> bytes(static_cast<std::size_t>(count));
              escaped = bytes.data();
            }),
            1);
  EXPECT_EQ(allocations_of([&] {
              const Matrix<float> matrix(count, count);
              escaped = matrix.data();
            }),
            1);
}

TEST(Allocation, NoProductOrAttentionAllocatesWhenItComesAgain) {
  for (const ProductSource source : {ProductSource::onednn, ProductSource::loops}) {
    for (const Type type : {Type::f32, Type::bf16}) {
      const test::TypedNumbers a(type, 8200, 48), b(type, 8200, 96), c(Type::f32, 48, 96), low(type, 48, 96);
      const std::vector<std::int32_t> first{0, 4000, 8200};
      const test::TypedNumbers both(Type::f32, 48, 96, 2);
      const Product long_sum{a.tensor(), b.tensor(), c.tensor(), Product::Side::transposed};
      Product rounded_sum = long_sum;
      rounded_sum.c = low.tensor();
      Product ragged = long_sum;
      ragged.c = both.tensor();
      ragged.ragged = Product::Ragged::inner;
      ragged.first = first.data();
      ragged.most_rows = 8200;
      const std::vector<std::int32_t> first_key(200, 0);
      const test::TypedNumbers x(type, 200, 48), log_sum(Type::f32, 3, 200);
      AttentionCall attention{
          1, 3, 0, x.tensor(), x.tensor(), x.tensor(), a.tensor().row_range(0, 200), log_sum.tensor(), {}};
      attention.first_key = {const_cast<std::int32_t*>(first_key.data()), Type::i32, 1, 200, 200};
      const AttentionGradient gradient{attention, x.tensor(), a.tensor().row_range(200, 200),
                                       a.tensor().row_range(400, 200), a.tensor().row_range(600, 200)};
      CpuProducts products(source);
      const auto work = [&] {
        for (const Product& product : {long_sum, rounded_sum, ragged}) products.multiply(product);
        attend_on_cpu(attention, source);
        attend_backward_on_cpu(gradient, source);
      };
      work();
      EXPECT_EQ(allocations_of(work), 0);
    }
  }
}

/// Everything a step does from the rows to the new weights.
class Step {
 public:
  Step(const ModelConfig& config, Precision precision, Recompute recompute)
      : device_(precision),
        memory_(device_, config, ParameterMemory::Gradients::allocated),
        model_(device_, config, memory_.views(), recompute),
        optimizer_(device_, memory_.views()) {
    memory_.initialize([](std::uint64_t tensor, std::uint64_t element) { return test::uniform(tensor, element); });
    memory_.round_values();
  }

  void operator()(const std::vector<StreamRow>& rows) {
    memory_.zero_gradients();
    gather_rows(rows, arrays_);
    model_.forward_backward(batch_of(arrays_, 0, arrays_.rows), 1.0);
    EXPECT_GT(optimizer_.gradient_norm(), 0.0);
    optimizer_.update(0.01, 0.5);
  }

 private:
  CpuDevice device_;
  ParameterMemory memory_;
  Transformer model_;
  Adafactor optimizer_;
  RowArrays arrays_;
};

/// Rows with loss on `share` of the positions, so that routing and loss weights differ between batches.
std::vector<StreamRow> rows_with(const ModelConfig& config, std::uint64_t seed, double share) {
  const test::RandomBatch batch(1, 200, config.vocab_size, seed);
  std::vector<StreamRow> rows(2);
  for (StreamRow& row : rows) {
    row.row.tokens = batch.tokens;
    row.row.labels = batch.labels;
    row.row.loss_weights = batch.weights;
    row.row.segment_ids.assign(200, 1);
    for (int t = 0; t < 200; ++t) {
      row.row.positions.push_back(t);
      if (test::uniform(seed + 9, static_cast<std::uint64_t>(t)) > share) {
        row.row.loss_weights[static_cast<std::size_t>(t)] = 0;
      }
    }
  }
  return rows;
}

ModelConfig config_of(CapacityRule rule) {
  ModelConfig config = model_preset("openmoe-micro");
  config.capacity_rule = rule;
  config.hidden_size = 130;  // Factored by Adafactor.
  config.intermediate_size = 131;
  return config;
}

TEST(Allocation, NoStepAllocatesAfterTheFirstWhateverItsRows) {
  for (const CapacityRule rule : {CapacityRule::dropless, CapacityRule::flaxformer}) {
    const ModelConfig config = config_of(rule);
    Step step(config, Precision::f32, Recompute::no);
    step(rows_with(config, 1, 0.1));
    for (std::uint64_t seed = 2; seed < 5; ++seed) {
      const std::vector<StreamRow> rows = rows_with(config, seed, 0.3 * static_cast<double>(seed - 1));
      EXPECT_EQ(allocations_of([&] { step(rows); }), 0) << "step " << seed;
    }
  }
}

TEST(Allocation, NoStepThatRunsLayersAgainAllocates) {
  const ModelConfig config = config_of(CapacityRule::flaxformer);
  Step step(config, Precision::f32, Recompute::yes);
  const std::vector<StreamRow> rows = rows_with(config, 1, 0.5);
  step(rows);
  EXPECT_EQ(allocations_of([&] { step(rows); }), 0);
}

/// oneDNN compiles each of the few shapes of bf16 products once.
TEST(Allocation, NoStepOfBf16AllocatesOnceItsProductsAreCompiled) {
  const ModelConfig config = config_of(CapacityRule::flaxformer);
  Step step(config, Precision::bf16, Recompute::no);
  const std::vector<StreamRow> some = rows_with(config, 1, 0.3), more = rows_with(config, 2, 0.9);
  for (int repeat = 0; repeat < 2; ++repeat) {
    step(some);
    step(more);
  }
  EXPECT_EQ(allocations_of([&] {
              step(some);
              step(more);
            }),
            0);
}

}  // namespace
}  // namespace millrace
