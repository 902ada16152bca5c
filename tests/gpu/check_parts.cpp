#include "tests/gpu/check_parts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "model/cpu/cpu_device.h"
#include "model/device/read_numbers.h"
#include "model/optimizer/adafactor.h"
#include "model/optimizer/adamw.h"
#include "model/transformer/transformer.h"
#include "tests/gpu/check_models.h"
#include "tests/model/device/attention_case.h"
#include "tests/model/device/mirror_device.h"
#include "tests/model/test_support.h"
#include "trainer/weights/model_json.h"
#include "trainer/weights/safetensors.h"

namespace millrace::test {
namespace {

using Kind = Verdict::Kind;

/// Numbers on the host as a device's.
class Numbers {
 public:
  Numbers(Device& device, const TypedNumbers& from) : buffer_(device), device_(device), from_(from) {
    buffer_.reserve(from.bytes().size());
    tensor_ = from.tensor();
    tensor_.data = buffer_.shaped(1, static_cast<Index>(from.bytes().size()), Type::u8).data;
    device.to_device(tensor_.data, from.bytes().data(), from.bytes().size());
  }
  const Tensor& tensor() const { return tensor_; }
  std::vector<std::uint8_t> bytes() {
    std::vector<std::uint8_t> all(from_.bytes().size());
    device_.to_host(all.data(), tensor_.data, all.size());
    return all;
  }

 private:
  Buffer buffer_;
  Device& device_;
  const TypedNumbers& from_;
  Tensor tensor_;
};

/// Three matrices of bf16 as windows on one.
class Packed {
 public:
  Packed(Device& device, std::array<const TypedNumbers*, 3> from) : device_(device), from_(from), buffer_(device) {
    const Tensor one = from[0]->tensor();
    columns_ = one.columns;
    all_ = buffer_.shaped(one.rows, 3 * columns_, Type::bf16);
    std::vector<std::uint8_t> numbers(place(all_.size()));
    for (std::size_t which = 0; which < from_.size(); ++which)
      for_rows(which, [&](std::size_t packed, std::size_t apart, std::size_t count) {
        std::memcpy(&numbers[packed], from_[which]->bytes().data() + apart, count);
      });
    device.to_device(all_.data, numbers.data(), numbers.size());
  }
  Tensor part(Index which) const { return all_.column_range(which * columns_, columns_); }
  /// One of them, as it lies apart.
  std::vector<std::uint8_t> bytes(std::size_t which) {
    std::vector<std::uint8_t> numbers(place(all_.size()));
    device_.to_host(numbers.data(), all_.data, numbers.size());
    std::vector<std::uint8_t> alone(from_[which]->bytes().size());
    for_rows(which, [&](std::size_t packed, std::size_t apart, std::size_t count) {
      std::memcpy(&alone[apart], &numbers[packed], count);
    });
    return alone;
  }

 private:
  static std::size_t place(Index number) { return static_cast<std::size_t>(number) * sizeof(Bf16); }
  template <class Work>
  void for_rows(std::size_t which, const Work& work) const {
    const Tensor tensor = from_[which]->tensor();
    for (Index row = 0; row < tensor.rows; ++row)
      work(place(row * all_.stride + static_cast<Index>(which) * columns_), place(row * tensor.stride),
           place(columns_));
  }

  Device& device_;
  std::array<const TypedNumbers*, 3> from_;
  Buffer buffer_;
  Index columns_ = 0;
  Tensor all_;
};

double number_in(const std::vector<std::uint8_t>& bytes, Type type, Index at) {
  const std::uint8_t* from = bytes.data() + static_cast<std::size_t>(at) * bytes_of(type);
  if (type == Type::bf16) {
    Bf16 number;
    std::memcpy(&number, from, sizeof number);
    return static_cast<double>(widened(number));
  }
  float number = 0;
  std::memcpy(&number, from, sizeof number);
  return static_cast<double>(number);
}

}  // namespace

Verdict check_kernels(const CheckSetup& setup, Precision precision) {
  const std::unique_ptr<Device> checked = setup.open({precision});
  CpuDevice trusted(precision, ProductSource::loops);
  MirrorDevice device(trusted, *checked);
  const ModelConfig config = small_model();
  const auto memory = drawn(device, config);
  Adafactor adafactor(device, memory->views());
  AdamW adamw(device, memory->views(), {});
  Transformer model(device, config, memory->views());
  const RandomBatch batch(3, 200, config.vocab_size, 5);
  model.score(batch.view());
  model.forward_backward(batch.view(), 0.5);
  for (Optimizer* optimizer : {static_cast<Optimizer*>(&adafactor), static_cast<Optimizer*>(&adamw)}) {
    optimizer->gradient_norm();
    optimizer->update(0.01, 0.7);
  }
  Verdict result;
  std::string wrong;
  for (const auto& [name, found] : device.results()) {
    result.lines.push_back(
        fmt::format("{:24} {:4} calls, apart {:.1e} of the largest, allowed {:.1e}, {} integers differ{}", name,
                    found.calls, found.worst, found.worst_allowed, found.different,
                    found.holds() ? "" : fmt::format("   WRONG, in tensor {}", found.worst_member)));
    if (!found.holds()) wrong += " " + name;
  }
  const Verdict told = verdict(
      wrong.empty(), wrong.empty() ? fmt::format("{} kinds of work", device.results().size()) : "wrong:" + wrong);
  result.kind = told.kind;
  result.text = told.text;
  return result;
}

Verdict check_products(const CheckSetup& setup, Precision precision) {
  struct Sides {
    Index rows, columns, inner, batch;
    Product::Side a, b;
    bool add;
  };
  using enum Product::Side;
  const Index n = setup.is_card ? 4096 : 64;
  const Index h = setup.is_card ? 768 : 40;
  const Index f = setup.is_card ? 2048 : 56;
  const std::vector<Sides> all{
      {n, 3 * h, h, 1, plain, transposed, false},     {n, h, h, 1, plain, transposed, true},
      {n, h, 3 * h, 1, plain, plain, false},          {3 * h, h, n, 1, transposed, plain, true},
      {n / 4, 3 * f, h, 16, plain, plain, false},     {n / 4, h, f, 16, plain, plain, false},
      {n / 4, f, h, 16, plain, transposed, false},    {f, h, n / 4, 16, transposed, plain, true},
      {n / 4, 32000, h, 1, plain, transposed, false}, {32000, h, n / 4, 1, transposed, plain, true}};
  const Type factors = precision == Precision::bf16 ? Type::bf16 : Type::f32;
  const std::unique_ptr<Device> device = setup.open({precision});
  double worst = 0;
  std::vector<std::string> lines;
  for (const Sides& sides : all) {
    TypedNumbers a(factors, sides.a == plain ? sides.rows : sides.inner, sides.a == plain ? sides.inner : sides.rows,
                   sides.batch);
    TypedNumbers b(factors, sides.b == plain ? sides.inner : sides.columns,
                   sides.b == plain ? sides.columns : sides.inner, sides.batch);
    for (const Type result : {Type::f32, factors}) {
      if (result == Type::bf16 && sides.add) continue;
      TypedNumbers c(result, sides.rows, sides.columns, sides.batch);
      a.fill(1);
      b.fill(2);
      c.fill(3);
      Numbers a_there(*device, a), b_there(*device, b), c_there(*device, c);
      device->multiply({a_there.tensor(), b_there.tensor(), c_there.tensor(), sides.a, sides.b, sides.add});
      const std::vector<std::uint8_t> seen = c_there.bytes();
      double apart = 0;
      for (std::uint64_t sample = 0; sample < 200; ++sample) {
        const auto of = [&](Index count, std::uint64_t which) {
          return static_cast<Index>(uniform(which + 10, sample) * static_cast<double>(count));
        };
        const Index entry = of(sides.batch, 0), i = of(sides.rows, 1), j = of(sides.columns, 2);
        double sum = sides.add ? c.get(i, j, entry) : 0;
        for (Index k = 0; k < sides.inner; ++k)
          sum += (sides.a == plain ? a.get(i, k, entry) : a.get(k, i, entry)) *
                 (sides.b == plain ? b.get(k, j, entry) : b.get(j, k, entry));
        const Tensor t = c.tensor();
        const double number = number_in(seen, result, entry * t.batch_stride + i * t.stride + j);
        apart = std::max(apart, std::abs(number - sum) / std::sqrt(static_cast<double>(sides.inner)));
      }
      worst = std::max(worst, apart / (result == Type::bf16 ? 1e-2 : 1e-5));
      lines.push_back(fmt::format("{} x ({}, {}) ({}, {}){} into {}: apart {:.1e}", sides.batch, sides.rows,
                                  sides.inner, sides.inner, sides.columns, sides.add ? ", added," : "",
                                  result == Type::bf16 ? "bf16" : "f32", apart));
    }
  }
  Verdict told = verdict(worst <= 1, fmt::format("{} products, at most {:.2f} of the tolerance", lines.size(), worst));
  told.lines = std::move(lines);
  return told;
}

Verdict check_attention(const CheckSetup& setup, bool deterministic) {
  struct Sides {
    Index rows, heads, width, length;
  };
  constexpr std::array<Sides, 7> kOfACard{{{2, 12, 64, 2048},
                                           {1, 24, 128, 2048},
                                           {4, 4, 32, 256},
                                           {3, 4, 32, 200},
                                           {2, 4, 64, 1000},
                                           {2, 3, 16, 77},
                                           {3, 2, 16, 200}}};
  constexpr std::array<Sides, 2> kSmall{{{2, 3, 16, 100}, {2, 2, 32, 70}}};
  const std::span<const Sides> all = setup.is_card ? std::span<const Sides>(kOfACard) : std::span<const Sides>(kSmall);
  const std::unique_ptr<Device> device = setup.open({Precision::bf16, deterministic});
  Verdict told;
  double worst = 0;
  bool same = true;
  // Of segments or of one; matrices apart or, as in the model, windows on one, with gradients as small as the model's.
  for (std::size_t i = 0; i < 4 * all.size(); ++i) {
    const Sides& sides = all[i / 4];
    AttentionCase expected(sides.rows, sides.heads, sides.width, sides.length, 0, Type::bf16);
    const bool is_one_segment = i % 2 == 1;
    const bool is_packed = i % 4 > 1;
    if (is_one_segment) expected.see_all();
    // The model's queries give scores of this size.
    expected.q.fill(1, 2 / std::sqrt(static_cast<double>(sides.width)));
    AttentionGradients expected_gradients(expected, 8);
    if (is_packed) expected_gradients.d_out.fill(50, 1e-5);
    // Where nothing is seen, cards see a query's own value, which the model makes zero.
    for (Index at = 0; at < expected.q.tensor().rows; ++at) {
      if (expected.first_key[static_cast<std::size_t>(at)] <= at % sides.length) continue;
      for (Index j = 0; j < expected.q.tensor().columns; ++j) {
        expected.v.set(at, j, 0);
        expected_gradients.d_out.set(at, j, 0);
      }
    }
    const auto on_device = [&] {
      Numbers q(*device, expected.q), k(*device, expected.k), v(*device, expected.v), out(*device, expected.out);
      Numbers log_sum(*device, expected.log_sum), d_out(*device, expected_gradients.d_out);
      Numbers dq(*device, expected_gradients.dq), dk(*device, expected_gradients.dk),
          dv(*device, expected_gradients.dv);
      Packed inputs(*device, {&expected.q, &expected.k, &expected.v});
      Packed gradients(*device, {&expected_gradients.dq, &expected_gradients.dk, &expected_gradients.dv});
      Buffer first(*device);
      AttentionCall call = expected.call;
      call.q = is_packed ? inputs.part(0) : q.tensor();
      call.k = is_packed ? inputs.part(1) : k.tensor();
      call.v = is_packed ? inputs.part(2) : v.tensor();
      call.out = out.tensor();
      call.log_sum = log_sum.tensor();
      call.first_key.data = first.shaped(1, q.tensor().rows, Type::i32).data;
      device->to_device(call.first_key.data, expected.first_key.data(), expected.first_key.size() * 4);
      device->attend(call);
      if (is_packed) {
        device->attend_backward({call, d_out.tensor(), gradients.part(0), gradients.part(1), gradients.part(2)});
        return std::array{out.bytes(), gradients.bytes(0), gradients.bytes(1), gradients.bytes(2)};
      }
      device->attend_backward({call, d_out.tensor(), dq.tensor(), dk.tensor(), dv.tensor()});
      return std::array{out.bytes(), dq.bytes(), dk.bytes(), dv.bytes()};
    };
    const auto once = on_device();
    same = same && once == on_device();
    CpuDevice processor(Precision::bf16, ProductSource::loops);
    processor.attend(expected.call);
    processor.attend_backward(expected_gradients.call);
    const std::array<const TypedNumbers*, 4> ours{&expected.out, &expected_gradients.dq, &expected_gradients.dk,
                                                  &expected_gradients.dv};
    std::string line =
        fmt::format("{} rows, {} heads of {}, length {}, {}{}: apart", sides.rows, sides.heads, sides.width,
                    sides.length, is_one_segment ? "of one segment" : "of segments", is_packed ? ", packed" : "");
    for (std::size_t which = 0; which < ours.size(); ++which) {
      const Tensor t = ours[which]->tensor();
      double apart = 0;
      double norm = 0;
      for (Index at = 0; at < t.rows; ++at) {
        for (Index j = 0; j < t.columns; ++j) {
          const double a = ours[which]->get(at, j);
          apart += std::pow(number_in(once[which], Type::bf16, at * t.stride + j) - a, 2);
          norm += a * a;
        }
      }
      const double relative = apart == 0 ? 0 : std::sqrt(apart / norm);
      worst = std::max(worst, std::isfinite(relative) ? relative : 1e9);
      line += fmt::format(" {} {:.1e}", std::array{"out", "dq", "dk", "dv"}[which], relative);
    }
    told.lines.push_back(line);
  }
  told.text = fmt::format("apart at most {:.1e} by norm (0.015 allowed), {} twice", worst,
                          same ? "the same bits" : "other bits");
  told.kind = worst <= 0.015 && (same || !deterministic) ? Kind::pass : Kind::fail;
  return told;
}

namespace {

std::vector<float> floats(const SafetensorsFile& file, const std::string& name) {
  std::vector<float> values(static_cast<std::size_t>(file.tensor(name).elements()));
  copy_as_f32(file.tensor(name), values.data());
  return values;
}

/// How far a pass over the golden model's rows is from the golden results: logits beside the largest, and by norm; the
/// loss beside itself; slopes of the loss along given directions.
struct GoldenDistance {
  double logits = 0, norm = 0, loss = 0, slopes = 0;
};

GoldenDistance distance_from_golden(const CheckSetup& setup, Precision precision) {
  std::ifstream text(setup.golden / "model.config.json");
  const ModelConfig config =
      parse_model_config({std::istreambuf_iterator<char>(text), {}}, (setup.golden / "model.config.json").string());
  const SafetensorsFile golden(setup.golden / "model.safetensors");
  const std::unique_ptr<Device> device = setup.open({precision});
  ParameterMemory memory(*device, config, ParameterMemory::Gradients::allocated);
  for (const Parameter& parameter : memory.views().all) {
    const std::vector<float> values = floats(golden, "weight." + parameter.spec.name);
    device->to_device(parameter.value.data, values.data(), values.size() * sizeof(float));
  }
  memory.round_values();
  const TensorView& ids = golden.tensor("input_ids");
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(ids.elements()));
  copy_as_i32(ids, tokens.data());
  std::vector<std::int32_t> labels(tokens.begin() + 1, tokens.end());
  labels.push_back(0);
  const int length = static_cast<int>(ids.shape[1]);
  std::vector<float> weights;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    weights.push_back((static_cast<int>(i) + 1) % length != 0 ? 1.0F : 0.0F);
  const TokenBatch batch{static_cast<int>(ids.shape[0]), length, tokens.data(), labels.data(), weights.data()};
  Transformer model(*device, config, memory.views());
  GoldenDistance far;
  for (const auto& [mode, name] : {std::pair{Mode::eval, "eval"}, {Mode::train, "train"}}) {
    const std::vector<double> logits = model.trace(batch, mode).logits;
    const std::vector<float> expected = floats(golden, std::string(name) + ".logits");
    double largest = 0;
    double apart = 0;
    double squares = 0;
    double norm = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const auto number = static_cast<double>(expected[i]);
      const double difference = logits[i] - number;
      apart = std::max(apart, std::abs(difference));
      largest = std::max(largest, std::abs(number));
      squares += difference * difference;
      norm += number * number;
    }
    far.logits = std::max(far.logits, apart / largest);
    far.norm = std::max(far.norm, std::sqrt(squares / norm));
  }
  const double loss = static_cast<double>(floats(golden, "train.loss")[0]);
  far.loss = std::abs(model.forward_backward(batch, 1.0).total / loss - 1);
  for (const Parameter& parameter : memory.views().all) {
    const std::vector<float> direction = floats(golden, "direction." + parameter.spec.name);
    std::vector<double> gradient(direction.size());
    read_numbers(*device, parameter.gradient, gradient);
    double slope = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) slope += static_cast<double>(direction[i]) * gradient[i];
    far.slopes =
        std::max(far.slopes, std::abs(slope - static_cast<double>(floats(golden, "slope." + parameter.spec.name)[0])));
  }
  return far;
}

}  // namespace

Verdict check_golden(const CheckSetup& setup) {
  const GoldenDistance far = distance_from_golden(setup, Precision::f32);
  return verdict(far.logits < 1e-5 && far.loss < 1e-6 && far.slopes < 2e-6,
                 fmt::format("logits apart {:.1e} (1e-5), loss {:.1e} (1e-6), slopes {:.1e} (2e-6)", far.logits,
                             far.loss, far.slopes));
}

Verdict check_golden_in_bf16(const CheckSetup& setup) {
  const GoldenDistance far = distance_from_golden(setup, Precision::bf16);
  return verdict(far.norm < 0.05 && far.loss < 5e-3,
                 fmt::format("logits apart {:.1e} by norm (0.05), loss {:.1e} (5e-3)", far.norm, far.loss));
}

}  // namespace millrace::test
