#include "trainer/config/model_keys.h"

#include <stdexcept>
#include <type_traits>
#include <utility>

#include "model/config/model_fields.h"

namespace millrace {
namespace {

ModelConfig preset_for_any_vocabulary(const std::string& name) {
  ModelConfig model = model_preset(name);
  model.vocab_size = 0;
  return model;
}

KeyRule rule_of(const ModelKey& key, KeyRange range) {
  return {.name = key.name,
          .range = std::move(range),
          .unit = key.unit,
          .meaning = key.meaning,
          .fallback = key.fallback,
          .older = key.older,
          .required = key.required,
          .only_if_changed = key.only_if_changed,
          .by_phase = key.by_phase};
}

KeyTable<ModelConfig> make_model_keys() {
  KeyTable<ModelConfig> keys("model", preset_for_any_vocabulary(kDefaultPreset));
  keys.tell({.name = "preset",
             .range = Choices{model_preset_names()},
             .meaning = "what all other keys here are unless they are named: [sizes](model.md#presets)",
             .fallback = std::string("`\"") + kDefaultPreset + "\"`"});
  for_each_model_field([&keys](const auto& field) {
    using Field = std::decay_t<decltype(field)>;
    if constexpr (std::is_same_v<Field, ModelCount>) {
      const auto unsigned_of = [](int value) { return static_cast<std::uint64_t>(value); };
      keys.add(rule_of(field.key,
                       WholeRange{unsigned_of(field.least), unsigned_of(field.most), unsigned_of(field.multiple_of)}),
               field.member);
    } else if constexpr (std::is_same_v<Field, ModelNumber>) {
      keys.add(rule_of(field.key, NumberRange{field.least, field.most}), field.member);
    } else if constexpr (std::is_same_v<Field, ModelFlag>) {
      keys.add(rule_of(field.key, Flag{}), field.member);
    } else {
      keys.add(rule_of(field.key, Choices{}), field.member, field.names);
    }
  });
  return keys;
}

}  // namespace

const KeyTable<ModelConfig>& model_keys() {
  static const KeyTable<ModelConfig> keys = make_model_keys();
  return keys;
}

ModelConfig read_model(const ConfigTable& table) {
  ModelConfig model = preset_for_any_vocabulary(table.choice("preset", kDefaultPreset, model_preset_names()));
  model_keys().read(table, model, Missing::keeps_its_value);
  table.refuse_unknown_keys();
  return model;
}

}  // namespace millrace
