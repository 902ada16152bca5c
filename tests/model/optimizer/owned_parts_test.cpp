// Several optimizers that share the parameters of a model, against one that has all of them.
#include "model/optimizer/owned_parts.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>
#include <omp.h>
#include <rapidcheck.h>

#include "tests/model/optimizer/optimizer_tensors.h"
#include "tests/property.h"

namespace millrace {
namespace {

using namespace test;

using Ownership = std::vector<std::vector<ParameterPart>>;
using Numbers = std::vector<double>;

/// Owners as threads lay down the numbers of their pieces, and wait until those of all are there.
class Meeting {
 public:
  class Owner : public PartExchange {
   public:
    Owner(Meeting& meeting, std::vector<PieceRange> own) : meeting_(meeting), own_(std::move(own)) {}
    void complete(PieceRange pieces, std::span<double> table) override {
      meeting_.complete(pieces, table, own_, calls_[{pieces.first, pieces.count}]++);
    }

   private:
    Meeting& meeting_;
    std::vector<PieceRange> own_;
    std::map<std::pair<Index, Index>, int> calls_;
  };

 private:
  struct Table {
    Numbers numbers;
    Index filled = 0;
  };

  void complete(PieceRange pieces, std::span<double> table, const std::vector<PieceRange>& own, int call) {
    const auto width = table.size() / static_cast<std::size_t>(pieces.count);
    std::unique_lock lock(mutex_);
    Table& common = tables_[{pieces.first, pieces.count, call}];
    common.numbers.resize(table.size());
    for (const PieceRange& range : own) {
      for (Index piece = std::max(range.first, pieces.first);
           piece < std::min(range.first + range.count, pieces.first + pieces.count); ++piece) {
        const auto first = static_cast<std::size_t>(piece - pieces.first) * width;
        std::copy_n(table.begin() + static_cast<std::ptrdiff_t>(first), width,
                    common.numbers.begin() + static_cast<std::ptrdiff_t>(first));
        ++common.filled;
      }
    }
    if (common.filled > pieces.count) throw std::logic_error("a piece has two owners");
    all_there_.notify_all();
    if (!all_there_.wait_for(lock, std::chrono::seconds(60), [&] { return common.filled == pieces.count; }))
      throw std::logic_error("not all owners came");
    std::ranges::copy(common.numbers, table.begin());
  }

  std::mutex mutex_;
  std::condition_variable all_there_;
  std::map<std::tuple<Index, Index, int>, Table> tables_;
};

std::unique_ptr<Optimizer> optimizer_of(const std::string& name, Device& device, const Parameters& parameters,
                                        const OwnedParts& owned) {
  if (name == "adafactor") return std::make_unique<Adafactor>(device, parameters, Adafactor::Settings(), owned);
  return std::make_unique<AdamW>(device, parameters, AdamW::Settings(), owned);
}

/// What is given to all owners alike.
struct Step {
  double learning_rate = 0.01;
  double factor = 0.7;
};

/// What came of steps: of each its norms or the message of a NotFiniteUpdate; then all numbers by tensor.
struct Results {
  std::vector<Numbers> norms;
  std::vector<std::string> refused;
  std::map<std::string, Numbers> tensors;
};

void put_part(Numbers& whole, std::int64_t first, const Numbers& part) {
  for (std::size_t i = 0; i < part.size(); ++i) {
    double& number = whole.at(static_cast<std::size_t>(first) + i);
    // What several have is the same.
    if (!std::isnan(number) && number != part[i]) throw std::logic_error("owners differ");
    number = part[i];
  }
}

/// Of a tensor without gaps, images among them.
Numbers numbers_of_any(Device& device, const Tensor& tensor) {
  const auto count = static_cast<std::size_t>(tensor.size());
  if (tensor.type != Type::bf16) return numbers_of(device, {tensor.data, tensor.type, 1, tensor.size(), tensor.size()});
  std::vector<Bf16> image(count);
  device.to_host(image.data(), tensor.data, count * sizeof(Bf16));
  Numbers numbers;
  for (const Bf16 number : image) numbers.push_back(static_cast<double>(widened(number)));
  return numbers;
}

constexpr double kNotMine = std::numeric_limits<double>::quiet_NaN();

/// One owner with memory of its own, which holds NaN wherever nothing is its own.
class OwnerRun {
 public:
  OwnerRun(const std::string& name, Precision precision, const std::vector<ParameterSpec>& specs,
           const std::vector<ParameterPart>& parts, PartExchange* exchange)
      : device_(precision), specs_(specs), parts_(parts), tensors_(device_, specs) {
    for (const Parameter& parameter : tensors_.views.all)
      for (const Tensor& tensor : {parameter.value, parameter.gradient})
        put_all(device_, tensor, Numbers(static_cast<std::size_t>(tensor.size()), kNotMine));
    optimizer_ = optimizer_of(name, device_, tensors_.views, {parts, exchange});
  }

  void take_values(const OptimizerTensors& drawn) {
    for (const ParameterPart& part : parts_)
      take(drawn.views.all[part.parameter].value, tensors_.views.all[part.parameter].value, part);
  }
  void take_gradients(const OptimizerTensors& drawn) {
    for (const ParameterPart& part : parts_)
      take(drawn.views.all[part.parameter].gradient, tensors_.views.all[part.parameter].gradient, part);
  }

  void step(const Step& step) {
    Numbers norms{optimizer_->gradient_norm()};
    std::string refused;
    try {
      const UpdateNorms update = optimizer_->update(step.learning_rate, step.factor);
      norms.insert(norms.end(), {update.values, update.change});
    } catch (const NotFiniteUpdate& error) {
      refused = error.what();
    }
    norms_.push_back(norms);
    refused_.push_back(refused);
  }

  /// Adds what is this owner's.
  void add_to(Results& results) {
    results.norms = norms_;
    results.refused = refused_;
    for (const ParameterPart& part : parts_) {
      const Parameter& parameter = tensors_.views.all[part.parameter];
      const Index matrix = parameter.value.rows * parameter.value.columns;
      const Index first = part.first_matrix * matrix + part.first_row * parameter.value.columns;
      add(results, parameter.spec.name, parameter.spec.size(), first, part_of(parameter.value, part));
      if (parameter.image)
        add(results, parameter.spec.name + " image", parameter.spec.size(), first, part_of(parameter.image, part));
    }
    for (const StateTensor& state : optimizer_->state()) {
      std::int64_t size = 1;
      for (const std::int64_t extent : state.shape) size *= extent;
      add(results, state.name, size, state.first, state.data);
    }
  }
  /// How many numbers of values are not NaN.
  Index touched() {
    Index count = 0;
    for (const double number : tensors_.all_values()) count += std::isnan(number) ? 0 : 1;
    return count;
  }
  Index owned() const {
    Index count = 0;
    for (const ParameterPart& part : parts_) count += part.matrices * part.rows * specs_[part.parameter].shape.back();
    return count;
  }

 private:
  void add(Results& results, const std::string& name, std::int64_t size, std::int64_t first, const Tensor& tensor) {
    Numbers& whole = results.tensors[name];
    whole.resize(static_cast<std::size_t>(size), kNotMine);
    put_part(whole, first, numbers_of_any(device_, tensor));
  }
  void take(const Tensor& from, const Tensor& to, const ParameterPart& part) {
    const Tensor own = part_of(to, part);
    device_.to_device(own.data, part_of(from, part).data, static_cast<std::size_t>(own.size()) * bytes_of(own.type));
  }

  CpuDevice device_;
  const std::vector<ParameterSpec>& specs_;
  const std::vector<ParameterPart>& parts_;
  OptimizerTensors tensors_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<Numbers> norms_;
  std::vector<std::string> refused_;
};

/// What all owners are given.
struct Lesson {
  std::string optimizer;
  Precision precision = Precision::f32;
  std::vector<ParameterSpec> specs;
  std::vector<Step> steps;
  std::size_t large = 0;  ///< Parameter whose first value is so large that steps are refused, if `is_large`.
  bool is_large = false;
};

void draw(OptimizerTensors& drawn, const Lesson& lesson) {
  drawn.draw(11, 0.1, 0.01);
  if (lesson.is_large) put(drawn.device, drawn.views.all[lesson.large].value, 0, 1.8446e19);
}

/// With a large value its gradient makes it larger.
void draw_gradients(OptimizerTensors& drawn, const Lesson& lesson, std::uint64_t step) {
  drawn.draw_gradients(step, 1);
  if (lesson.is_large) put(drawn.device, drawn.views.all[lesson.large].gradient, 0, -1);
}

Results results_of(const Lesson& lesson, const Ownership& ownership) {
  const PieceNumbers numbers(lesson.specs);
  CpuDevice device(lesson.precision);
  OptimizerTensors drawn(device, lesson.specs);
  draw(drawn, lesson);
  Meeting meeting;
  std::vector<std::unique_ptr<Meeting::Owner>> exchanges;
  std::vector<std::unique_ptr<OwnerRun>> owners;
  for (const std::vector<ParameterPart>& parts : ownership) {
    std::vector<PieceRange> own;
    for (const ParameterPart& part : parts) own.push_back(numbers.of(part));
    exchanges.push_back(std::make_unique<Meeting::Owner>(meeting, own));
    owners.push_back(
        std::make_unique<OwnerRun>(lesson.optimizer, lesson.precision, lesson.specs, parts, exchanges.back().get()));
    owners.back()->take_values(drawn);
  }
  for (std::size_t step = 0; step < lesson.steps.size(); ++step) {
    draw_gradients(drawn, lesson, step);
    std::vector<std::thread> threads;
    std::vector<std::string> errors(owners.size());
    for (std::size_t i = 0; i < owners.size(); ++i) {
      threads.emplace_back([&, i] {
        omp_set_num_threads(1);
        try {
          owners[i]->take_gradients(drawn);
          owners[i]->step(lesson.steps[step]);
        } catch (const std::exception& error) {
          errors[i] = error.what();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::string& error : errors)
      if (!error.empty()) throw std::runtime_error(error);
  }
  Results results;
  for (std::size_t i = 0; i < owners.size(); ++i) {
    Results alone;
    owners[i]->add_to(alone);
    RC_ASSERT(i == 0 || (alone.norms == results.norms && alone.refused == results.refused));
    owners[i]->add_to(results);
    RC_ASSERT(owners[i]->touched() == owners[i]->owned());
  }
  return results;
}

void expect_same(const Results& several, const Results& one) {
  RC_ASSERT(several.refused == one.refused);
  RC_ASSERT(several.norms.size() == one.norms.size());
  for (std::size_t step = 0; step < one.norms.size(); ++step)
    RC_ASSERT(same_bits(several.norms[step], one.norms[step]));
  RC_ASSERT(several.tensors.size() == one.tensors.size());
  for (const auto& [name, numbers] : one.tensors) {
    RC_ASSERT(several.tensors.contains(name));
    RC_LOG() << name << '\n';
    RC_ASSERT(same_bits(several.tensors.at(name), numbers));
  }
}

Ownership one_owner(const std::vector<ParameterSpec>& specs) {
  return {whole_parameters(specs)};
}

/// Every matrix to one owner or, cut at pieces of rows, to several.
Ownership any_ownership(const std::vector<ParameterSpec>& specs, int owners) {
  const PieceNumbers numbers(specs);
  Ownership parts(static_cast<std::size_t>(owners));
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const Tensor shape = parameter_tensor(specs[i], nullptr, Type::f32);
    const RowPieces pieces = numbers.pieces(i);
    for (Index matrix = 0; matrix < shape.batch; ++matrix) {
      const auto most = std::min<Index>(pieces.pieces, owners);
      const Index cuts = *rc::gen::inRange<Index>(1, most + 1);
      std::vector<int> order(static_cast<std::size_t>(owners));
      std::iota(order.begin(), order.end(), 0);
      std::rotate(order.begin(), order.begin() + *rc::gen::inRange(0, owners), order.end());
      for (Index cut = 0; cut < cuts; ++cut) {
        const Index first = cut * pieces.pieces / cuts * pieces.piece_rows;
        const Index end = std::min((cut + 1) * pieces.pieces / cuts * pieces.piece_rows, shape.rows);
        std::vector<ParameterPart>& own = parts[static_cast<std::size_t>(order[static_cast<std::size_t>(cut)])];
        const bool goes_on = cuts == 1 && !own.empty() && own.back().parameter == i && own.back().rows == shape.rows &&
                             own.back().first_matrix + own.back().matrices == matrix;
        if (goes_on)
          ++own.back().matrices;
        else
          own.push_back({i, matrix, 1, first, end - first});
      }
    }
  }
  return parts;
}

/// One tensor of each kind, of several pieces of rows or of one.
std::vector<ParameterSpec> any_specs() {
  const auto rows = [] { return std::int64_t{*rc::gen::inRange(1, 100)}; };
  const auto columns = [] { return std::int64_t{*rc::gen::inRange(1, 400)}; };
  return {spec("gains", {columns()}), spec("gate_weight", {rows(), columns()}),
          spec("large", {128 + rows(), 128 + columns()}),
          spec("experts", {*rc::gen::inRange(1, 5), rows(), columns()}, true)};
}

class OwnedPartsTest : public testing::TestWithParam<const char*> {
 protected:
  ~OwnedPartsTest() override { omp_set_num_threads(threads_); }
  int threads_ = omp_get_max_threads();
};

TEST_P(OwnedPartsTest, AnyOwnersHaveTheBitsOfOne) {
  expect_holds(15, [&] {
    Lesson lesson;
    lesson.optimizer = GetParam();
    lesson.precision = *rc::gen::element(Precision::f32, Precision::bf16, Precision::f64);
    lesson.specs = any_specs();
    lesson.steps = {{0.01, 0.7}, {0.02, 1}, {0.01, 1}};
    const int owners = *rc::gen::element(1, 2, 3, 4, 7, 8, 16, 64);
    const Ownership several = any_ownership(lesson.specs, owners);
    expect_same(results_of(lesson, several), results_of(lesson, one_owner(lesson.specs)));
  });
}

TEST_P(OwnedPartsTest, AllRefuseAnUpdateThatIsNotFiniteInOnesPart) {
  expect_holds(8, [&] {
    Lesson lesson;
    lesson.optimizer = GetParam();
    lesson.precision = *rc::gen::element(Precision::f32, Precision::bf16);
    lesson.specs = any_specs();
    lesson.is_large = true;
    lesson.large = *rc::gen::inRange<std::size_t>(0, lesson.specs.size());
    lesson.steps = {{0, 1}, {1e19, 1}, {0, 1}};
    const Ownership several = any_ownership(lesson.specs, *rc::gen::element(2, 3, 8));
    const Results one = results_of(lesson, one_owner(lesson.specs));
    RC_ASSERT(one.refused[1] != "");
    expect_same(results_of(lesson, several), one);
  });
}

INSTANTIATE_TEST_SUITE_P(, OwnedPartsTest, testing::Values("adafactor", "adamw"),
                         [](const auto& of) { return std::string(of.param); });

TEST(PieceNumbers, RefusePartsThatAreNotCutAtPiecesOrOverlap) {
  const std::vector<ParameterSpec> specs{spec("m", {100, 1024}), spec("e", {3, 20, 10}, true)};
  const PieceNumbers numbers(specs);
  EXPECT_EQ(numbers.count(), 7 + 3);
  EXPECT_EQ(numbers.of({0, 0, 1, 32, 68}), (PieceRange{2, 5}));
  EXPECT_EQ(numbers.of({1, 1, 2, 0, 20}), (PieceRange{8, 2}));
  numbers.expect_parts({{0, 0, 1, 32, 68}, {1, 0, 1, 0, 20}, {1, 2, 1, 0, 20}});
  const std::vector<std::vector<ParameterPart>> wrong{
      {{0, 0, 1, 30, 70}},                    // begins within a piece
      {{0, 0, 1, 0, 30}},                     // ends within one
      {{0, 0, 1, 0, 116}},                    // too many rows
      {{2, 0, 1, 0, 1}},                      // no such parameter
      {{1, 2, 2, 0, 20}},                     // too many matrices
      {{1, 0, 2, 0, 20}, {1, 1, 1, 0, 20}},   // twice
      {{1, 0, 1, 0, 20}, {0, 0, 1, 0, 100}},  // out of order
      {{0, 0, 1, 0, 32}, {0, 0, 1, 64, 36}},  // two of one matrix
  };
  for (const std::vector<ParameterPart>& parts : wrong) EXPECT_THROW(numbers.expect_parts(parts), std::logic_error);
}

}  // namespace
}  // namespace millrace
