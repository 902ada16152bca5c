#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// A value of a pickle. Nothing is built or called: a call stands as what would have been called with what.
struct PickleValue {
  enum class Kind : std::uint8_t { none, boolean, whole, real, text, tuple, list, dict, name, call, persistent };
  using Place = std::uint32_t;  ///< Of a value in its Pickle.

  Kind kind = Kind::none;
  std::uint64_t byte = 0;     ///< In the file, of the opcode that made it.
  std::int64_t number = 0;    ///< Of a whole number; 0 or 1 of a boolean.
  std::string text;           ///< Of a text; of a name "MODULE.NAME".
  std::vector<Place> values;  ///< Of a tuple or list; of a dict keys and values in turn; of a call its name and its
                              ///< tuple of arguments; of a persistent id that id.
};

/// What a pickle of Python describes. Of protocols 2 to 5 it knows the opcodes that torch.save writes a dict of tensors
/// with (Python's pickletools describes them). A collections.OrderedDict is a dict; what is set on an object once it is
/// made (`__dict__`) is passed over.
class Pickle {
 public:
  struct Source {
    std::filesystem::path path;  ///< For messages.
    std::uint64_t offset = 0;    ///< Of the pickle's first byte in that file.
  };

  /// `is_known` says which names ("MODULE.NAME") may stand in it. Throws ConfigError with file, byte, what was found
  /// and what was expected: another name, another opcode, values that are not there, an end that is missing.
  Pickle(std::string_view bytes, const Source& source, const std::function<bool(const std::string&)>& is_known);

  const PickleValue& top() const { return values_[top_]; }
  const PickleValue& operator[](PickleValue::Place place) const { return values_[place]; }

 private:
  friend class PickleMachine;
  std::vector<PickleValue> values_;
  PickleValue::Place top_ = 0;
};

}  // namespace millrace
