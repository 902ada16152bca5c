#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "pipeline/python/batch_arrays.h"
#include "pipeline/python/bindings.h"
#include "pipeline/python/interruptible.h"
#include "pipeline/python/own_process.h"
#include "stages/errors.h"
#include "stages/tokenizer/piece_spans.h"
#include "stages/tokenizer/vocabulary.h"

namespace millrace {
namespace {

namespace py = pybind11;

using Ids = std::vector<TokenId>;

template <class Value>
py::array_t<Value> array_of(std::vector<Value> values) {
  auto* held = new std::vector<Value>(std::move(values));
  const py::capsule owner(held, [](void* pointer) { delete static_cast<std::vector<Value>*>(pointer); });
  // By its shape: from a count, pybind11 before 2.12 takes wrong strides with numpy 2.
  const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(held->size())};
  return py::array_t<Value>(shape, held->data(), owner);
}

std::string_view text_of(const py::handle& text) {
  if (!py::isinstance<py::str>(text))
    throw py::type_error("expected a str, found " + std::string(py::str(py::type::of(text).attr("__name__"))));
  Py_ssize_t size = 0;
  const char* bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (bytes == nullptr) throw py::error_already_set();
  return {bytes, static_cast<std::size_t>(size)};
}

/// Does the job for each text, on so many threads.
template <class Job>
void for_each_text(std::size_t texts, int threads, const std::atomic<bool>& interrupted, const Job& job) {
  const auto unless_interrupted = [&](std::size_t i) {
    if (!interrupted) job(i);
  };
  if (threads <= 1) {
    for (std::size_t i = 0; i < texts; ++i) unless_interrupted(i);
  } else {
    // The arena's threads outlive the call, and with them the words that they know.
    oneapi::tbb::task_arena arena(threads);
    arena.execute([&] {
      oneapi::tbb::parallel_for(oneapi::tbb::blocked_range<std::size_t>(0, texts), [&](const auto& range) {
        for (std::size_t i = range.begin(); i < range.end(); ++i) unless_interrupted(i);
      });
    });
  }
}

/// One behind the other; the parts are freed on the way.
template <class Value>
std::vector<Value> joined(std::vector<std::vector<Value>>& parts, std::size_t size) {
  std::vector<Value> all;
  all.reserve(size);
  for (std::vector<Value>& part : parts) {
    all.insert(all.end(), part.begin(), part.end());
    part = {};
  }
  return all;
}

/// int64 (n, 2)
py::array_t<std::int64_t> array_of_spans(std::vector<PieceSpan> spans) {
  static_assert(sizeof(PieceSpan) == 2 * sizeof(std::int64_t));
  auto* held = new std::vector<PieceSpan>(std::move(spans));
  const py::capsule owner(held, [](void* pointer) { delete static_cast<std::vector<PieceSpan>*>(pointer); });
  const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(held->size()), 2};
  return py::array_t<std::int64_t>(shape, held->empty() ? nullptr : &held->data()->begin, owner);
}

/// (ids of all texts, one behind the other; where each text's begin, and at last where they end; with `spans` the spans
/// of the ids in their texts)
py::tuple encode_batch(const Vocabulary& vocabulary, const py::sequence& sequence, int threads,
                       const PieceSpans* spans_of) {
  const auto elements = sequence.cast<std::vector<py::object>>();
  std::vector<std::string_view> texts;
  texts.reserve(elements.size());
  for (const py::object& text : elements) texts.push_back(text_of(text));
  const int cores = oneapi::tbb::info::default_concurrency();
  threads = threads > 0 ? std::min(threads, cores) : cores;
  if (threads > 1) begin_to_use_threads();
  std::vector<Ids> ids(texts.size());
  std::vector<std::vector<PieceSpan>> spans(texts.size());
  Ids all;
  std::vector<PieceSpan> all_spans;
  std::vector<std::int64_t> offsets{0};
  run_interruptibly([&](const std::atomic<bool>& interrupted) {
    for_each_text(texts.size(), threads, interrupted, [&](std::size_t i) {
      vocabulary.encode(texts[i], ids[i]);
      if (spans_of != nullptr) spans[i] = (*spans_of)(texts[i], ids[i]);
    });
    offsets.reserve(ids.size() + 1);
    for (const Ids& one : ids) offsets.push_back(offsets.back() + static_cast<std::int64_t>(one.size()));
    all = joined(ids, static_cast<std::size_t>(offsets.back()));
    if (spans_of != nullptr) all_spans = joined(spans, all.size());
  });
  py::array_t<TokenId> id_array = array_of(std::move(all));
  py::array_t<std::int64_t> offset_array = array_of(std::move(offsets));
  if (spans_of == nullptr) return py::make_tuple(id_array, offset_array);
  return py::make_tuple(id_array, offset_array, array_of_spans(std::move(all_spans)));
}

/// Throws IndexError for an id that the vocabulary has not.
void expect_ids(const Vocabulary& vocabulary, const Ids& ids) {
  for (const TokenId id : ids)
    if (id < 0 || id >= vocabulary.size())
      throw py::index_error("there is no id " + std::to_string(id) + ": the vocabulary has " +
                            std::to_string(vocabulary.size()));
}

}  // namespace

void bind_tokenizer(py::module_& module) {
  py::class_<PieceSpans>(module, "PieceSpans").def(py::init([](const std::string& file) {
    return std::make_unique<PieceSpans>(file);
  }));
  py::class_<Vocabulary>(module, "Vocabulary")
      .def(py::init([](const std::string& file) { return std::make_unique<Vocabulary>(file); }))
      .def("encode",
           [](const Vocabulary& vocabulary, const py::str& text) {
             const std::string_view bytes = text_of(text);
             Ids ids;
             {
               const py::gil_scoped_release unlocked;
               vocabulary.encode(bytes, ids);
             }
             return array_of(std::move(ids));
           })
      .def("encode_batch", &encode_batch)
      .def("decode",
           [](const Vocabulary& vocabulary, const Ids& ids) {
             expect_ids(vocabulary, ids);
             const py::gil_scoped_release unlocked;
             return vocabulary.decode(ids);
           })
      .def("piece",
           [](const Vocabulary& vocabulary, TokenId id) {
             expect_ids(vocabulary, {id});
             return vocabulary.piece(id);
           })
      .def("sentinel", &Vocabulary::sentinel)
      .def("slow_because", &Vocabulary::slow_because)
      .def("pieces", &Vocabulary::pieces)
      .def("size", &Vocabulary::size)
      .def("embedding_rows", &Vocabulary::embedding_rows)
      .def("pad", &Vocabulary::pad)
      .def("eos", &Vocabulary::eos)
      .def("hash", &Vocabulary::hash);
}

}  // namespace millrace
