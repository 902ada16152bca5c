// Passes that are begun and ended: a device that tells later has all of the work of one before the host waits.
#include <cstring>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "tests/model/device/later_device.h"
#include "tests/model/test_support.h"

namespace millrace {
namespace {

using namespace test;

ModelConfig small() {
  ModelConfig config = model_preset("openmoe-micro");
  config.capacity_rule = CapacityRule::flaxformer;
  config.dropout_rate = 0.1;
  return config;
}

struct Training {
  ModelConfig config = small();
  LaterDevice device{Precision::f32, ProductSource::loops};
  ParameterMemory memory{device, config, ParameterMemory::Gradients::allocated};
  Transformer model;

  explicit Training(Recompute recompute = Recompute::no) : model(device, drawn(), memory.views(), recompute) {}

  std::vector<float> gradients() const {
    std::vector<float> all;
    for (const Parameter& parameter : memory.views().all) {
      const std::span<float> numbers = numbers_of<float>(parameter.gradient);
      all.insert(all.end(), numbers.begin(), numbers.end());
    }
    return all;
  }

 private:
  const ModelConfig& drawn() {
    memory.initialize([](std::uint64_t tensor, std::uint64_t element) { return uniform(tensor + 7, element); });
    return config;
  }
};

/// Numbers that a pass tells.
std::vector<double> numbers_of_pass(const Losses& losses, const TokenScores& scores) {
  std::vector<double> all{losses.total, losses.ce, losses.aux_loss, losses.router_z_loss, losses.loss_weight};
  for (const RouterStatistics& router : losses.routers) {
    all.insert(all.end(), {router.entropy, router.dropped, router.gates, static_cast<double>(router.kept)});
    all.insert(all.end(), router.load.begin(), router.load.end());
    all.insert(all.end(), router.dropped_at.begin(), router.dropped_at.end());
  }
  all.insert(all.end(), scores.cross_entropy.begin(), scores.cross_entropy.end());
  all.insert(all.end(), scores.correct.begin(), scores.correct.end());
  return all;
}

TEST(BegunPasses, AreGivenToTheDeviceWithoutWaitingForIt) {
  for (const Recompute recompute : {Recompute::no, Recompute::yes}) {
    Training training(recompute);
    const RandomBatch batch(2, 40, training.config.vocab_size, 5);
    TokenScores scores;
    training.model.forward_backward(batch.view(), 1, &scores);  // Makes room.
    const int before = training.device.waits();
    training.model.begin(batch.view(), 1, &scores);
    EXPECT_EQ(training.device.waits(), before);
    training.model.end();
    EXPECT_EQ(training.device.waits(), before + 1);
  }
}

TEST(BegunPasses, TwoInWorkGiveTheBitsOfOneAfterTheOther) {
  for (const Recompute recompute : {Recompute::no, Recompute::yes}) {
    Training one(recompute);
    Training two(recompute);
    std::vector<std::vector<double>> expected;
    std::vector<std::vector<double>> found;
    TokenScores scores[2];
    const auto end = [&](int i) {
      const Losses& losses = two.model.end();
      found.push_back(numbers_of_pass(losses, scores[i % 2]));
    };
    // Of different lengths, so that none has room for the next.
    const std::vector<int> lengths{20, 40, 10, 40, 30};
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const int turn = static_cast<int>(i);
      TokenScores at_once;
      {
        const RandomBatch batch(2, lengths[i], one.config.vocab_size, 5 + i);
        const Losses& losses = one.model.forward_backward(batch.view(), 0.5, &at_once);
        expected.push_back(numbers_of_pass(losses, at_once));
        two.model.begin(batch.view(), 0.5, &scores[turn % 2]);
      }
      if (i > 0) end(turn - 1);
    }
    end(static_cast<int>(lengths.size()) - 1);
    EXPECT_EQ(found, expected);
    EXPECT_EQ(two.gradients(), one.gradients());
  }
}

TEST(BegunPasses, AreTwoAtMostAndEndedAsOftenAsBegun) {
  Training training;
  const RandomBatch batch(1, 10, training.config.vocab_size, 5);
  EXPECT_THROW(training.model.end(), std::logic_error);
  training.model.begin(batch.view(), 1);
  training.model.begin(batch.view(), 1);
  EXPECT_THROW(training.model.begin(batch.view(), 1), std::logic_error);
  training.model.end();
  training.model.end();
  EXPECT_THROW(training.model.end(), std::logic_error);
}

TEST(BegunPasses, ThatFailLeaveNoneInWork) {
  Training training;
  const RandomBatch batch(1, 10, training.config.vocab_size, 5);
  RandomBatch wrong = batch;
  wrong.labels[3] = training.config.vocab_size;
  const double expected = training.model.forward_backward(batch.view(), 1).total;
  training.model.begin(batch.view(), 1);
  EXPECT_THROW(training.model.begin(wrong.view(), 1), std::out_of_range);
  EXPECT_THROW(training.model.end(), std::logic_error);
  EXPECT_EQ(training.model.forward_backward(batch.view(), 1).total, expected);
}

}  // namespace
}  // namespace millrace
