#include "trainer/weights/pickle.h"

#include <bit>
#include <cstddef>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "stages/errors.h"

namespace millrace {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are read as they lie");

using Kind = PickleValue::Kind;
using Place = PickleValue::Place;

/// As pickletools of Python describes them.
enum Opcode : unsigned char {
  kProtocol = 0x80,
  kFrame = 0x95,
  kStop = '.',
  kMark = '(',
  kNone = 'N',
  kTrue = 0x88,
  kFalse = 0x89,
  kInt32 = 'J',
  kInt8 = 'K',
  kInt16 = 'M',
  kLong = 0x8a,
  kReal = 'G',
  kText = 'X',
  kShortText = 0x8c,
  kLongText = 0x8d,
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kName = 'c',
  kStackedName = 0x93,
  kCall = 'R',
  kBuild = 'b',
  kPersistent = 'Q',
  kMemoize = 0x94,
  kPut8 = 'q',
  kPut32 = 'r',
  kGet8 = 'h',
  kGet32 = 'j',
};

constexpr const char* kOrderedDict = "collections.OrderedDict";
constexpr std::uint8_t kNewestProtocol = 5;

}  // namespace

/// The stack machine that a pickle is a program of.
class PickleMachine {
 public:
  PickleMachine(Pickle& pickle, std::string_view bytes, const Pickle::Source& source,
                const std::function<bool(const std::string&)>& is_known)
      : values_(pickle.values_), bytes_(bytes), source_(source), is_known_(is_known) {}

  Place run() {
    while (true) {
      opcode_at_ = at_;
      const auto opcode = number<std::uint8_t>();
      if (opcode == kStop) return popped();
      step(opcode);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& complaint) const {
    throw ConfigError(fmt::format("{}: byte {}: {}", source_.path.string(), source_.offset + opcode_at_, complaint));
  }

  // The program.

  std::string_view text(std::uint64_t length) {
    if (length > bytes_.size() - at_)
      fail(fmt::format("the pickle ends at byte {}, expected {} more bytes of what begins here",
                       source_.offset + bytes_.size(), length - (bytes_.size() - at_)));
    return bytes_.substr(std::exchange(at_, at_ + length), length);
  }
  template <class Number>
  Number number() {
    Number result = 0;
    std::memcpy(&result, text(sizeof result).data(), sizeof result);
    return result;
  }
  std::string line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == bytes_.npos) fail("a name without an end");
    std::string result(bytes_.substr(at_, end - at_));
    at_ = end + 1;
    return result;
  }
  std::int64_t long_number() {
    const auto length = number<std::uint8_t>();
    const std::string_view digits = text(length);
    if (length > sizeof(std::int64_t)) fail(fmt::format("a whole number of {} bytes, expected at most 8", length));
    std::int64_t result = length > 0 && (static_cast<unsigned char>(digits.back()) & 0x80U) != 0 ? -1 : 0;
    if (length > 0) std::memcpy(&result, digits.data(), length);
    return result;
  }

  // The stack.

  void push(Place place) { stack_.push_back(place); }
  Place made(Kind kind, std::vector<Place> of = {}) {
    values_.push_back({kind, source_.offset + opcode_at_, 0, {}, std::move(of)});
    return static_cast<Place>(values_.size() - 1);
  }
  void push_number(Kind kind, std::int64_t number) {
    push(made(kind));
    values_.back().number = number;
  }
  void push_text(Kind kind, std::string text) {
    push(made(kind));
    values_.back().text = std::move(text);
  }
  std::size_t bottom() const { return marks_.empty() ? 0 : marks_.back(); }
  Place popped() {
    if (stack_.size() <= bottom()) fail("takes a value off an empty stack");
    const Place place = stack_.back();
    stack_.pop_back();
    return place;
  }
  std::vector<Place> popped(std::size_t count) {
    if (stack_.size() - bottom() < count) fail(fmt::format("takes {} values off a stack of fewer", count));
    std::vector<Place> places(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return places;
  }
  std::vector<Place> popped_to_mark() {
    if (marks_.empty()) fail("takes the values behind a mark, but none was set");
    std::vector<Place> places = popped(stack_.size() - marks_.back());
    marks_.pop_back();
    return places;
  }
  std::string popped_text() {
    const PickleValue& value = values_[popped()];
    if (value.kind != Kind::text) fail("takes a text, expected one on the stack");
    return value.text;
  }
  /// Adds to the list or dict on the stack.
  void add(Kind kind, const std::vector<Place>& places) {
    if (stack_.size() <= bottom() || values_[stack_.back()].kind != kind)
      fail(fmt::format("adds to a {}, expected one on the stack", kind == Kind::list ? "list" : "dict"));
    if (kind == Kind::dict && places.size() % 2 != 0) fail("sets a key without a value");
    std::vector<Place>& values = values_[stack_.back()].values;
    values.insert(values.end(), places.begin(), places.end());
  }

  void push_name(const std::string& module, const std::string& name) {
    const std::string full = module + "." + name;
    if (full != kOrderedDict && !is_known_(full))
      fail(fmt::format("asks for {}, expected a dict of tensors and nothing else; nothing of it was run", full));
    push_text(Kind::name, full);
  }
  void call() {
    const Place arguments = popped();
    const Place name = popped();
    if (values_[name].kind != Kind::name || values_[arguments].kind != Kind::tuple)
      fail("calls something, expected a name and a tuple on the stack");
    const bool is_dict = values_[name].text == kOrderedDict;
    if (is_dict && !values_[arguments].values.empty()) fail("an OrderedDict made of values, expected it made empty");
    push(is_dict ? made(Kind::dict) : made(Kind::call, {name, arguments}));
  }
  void put(std::uint32_t number) {
    if (stack_.size() <= bottom()) fail("remembers a value of an empty stack");
    memo_[number] = stack_.back();
  }
  void get(std::uint32_t number) {
    const auto found = memo_.find(number);
    if (found == memo_.end()) fail(fmt::format("recalls value {}, which was not remembered", number));
    push(found->second);
  }

  void step(std::uint8_t opcode) {
    switch (opcode) {
      case kProtocol:
        if (const auto protocol = number<std::uint8_t>(); protocol > kNewestProtocol)
          fail(fmt::format("protocol {}, expected one up to {}", protocol, kNewestProtocol));
        return;
      case kFrame:
        text(sizeof(std::uint64_t));
        return;
      case kMark:
        return marks_.push_back(stack_.size());
      case kNone:
        return push(made(Kind::none));
      case kTrue:
      case kFalse:
        return push_number(Kind::boolean, opcode == kTrue ? 1 : 0);
      case kInt32:
        return push_number(Kind::whole, number<std::int32_t>());
      case kInt16:
        return push_number(Kind::whole, number<std::uint16_t>());
      case kInt8:
        return push_number(Kind::whole, number<std::uint8_t>());
      case kLong:
        return push_number(Kind::whole, long_number());
      case kReal:
        text(sizeof(double));
        return push(made(Kind::real));
      case kShortText:
        return push_text(Kind::text, std::string(text(number<std::uint8_t>())));
      case kText:
        return push_text(Kind::text, std::string(text(number<std::uint32_t>())));
      case kLongText:
        return push_text(Kind::text, std::string(text(number<std::uint64_t>())));
      case kEmptyTuple:
        return push(made(Kind::tuple));
      case kTuple:
        return push(made(Kind::tuple, popped_to_mark()));
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return push(made(Kind::tuple, popped(opcode - kTuple1 + std::size_t{1})));
      case kEmptyList:
        return push(made(Kind::list));
      case kAppend:
        return add(Kind::list, popped(1));
      case kAppends:
        return add(Kind::list, popped_to_mark());
      case kEmptyDict:
        return push(made(Kind::dict));
      case kSetItem:
        return add(Kind::dict, popped(2));
      case kSetItems:
        return add(Kind::dict, popped_to_mark());
      case kName: {
        const std::string module = line();
        return push_name(module, line());
      }
      case kStackedName: {
        const std::string name = popped_text();
        return push_name(popped_text(), name);
      }
      case kCall:
        return call();
      case kBuild:
        popped();
        return;
      case kPersistent:
        return push(made(Kind::persistent, popped(1)));
      case kMemoize:
        return put(static_cast<std::uint32_t>(memo_.size()));
      case kPut8:
        return put(number<std::uint8_t>());
      case kPut32:
        return put(number<std::uint32_t>());
      case kGet8:
        return get(number<std::uint8_t>());
      case kGet32:
        return get(number<std::uint32_t>());
      default:
        fail(fmt::format("the opcode {:#04x}, expected one of those that a dict of tensors is written with", opcode));
    }
  }

  std::vector<PickleValue>& values_;
  std::string_view bytes_;
  const Pickle::Source& source_;
  const std::function<bool(const std::string&)>& is_known_;
  std::uint64_t at_ = 0;
  std::uint64_t opcode_at_ = 0;
  std::vector<Place> stack_;
  std::vector<std::size_t> marks_;
  std::map<std::uint32_t, Place> memo_;
};

Pickle::Pickle(std::string_view bytes, const Source& source, const std::function<bool(const std::string&)>& is_known) {
  top_ = PickleMachine(*this, bytes, source, is_known).run();
}

}  // namespace millrace
