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
#include "stages/tokenizer/vocabulary.h"

namespace millrace {
namespace {

namespace py = pybind11;

using Ids = std::vector<TokenId>;

template <class Value>
py::array_t<Value> array_of(std::vector<Value> values) {
  auto* held = new std::vector<Value>(std::move(values));
  const py::capsule owner(held, [](void* pointer) { delete static_cast<std::vector<Value>*>(pointer); });
  return py::array_t<Value>(static_cast<py::ssize_t>(held->size()), held->data(), owner);
}

std::string_view text_of(const py::handle& text) {
  if (!py::isinstance<py::str>(text))
    throw py::type_error("expected a str, found " + std::string(py::str(py::type::of(text).attr("__name__"))));
  Py_ssize_t size = 0;
  const char* bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (bytes == nullptr) throw py::error_already_set();
  return {bytes, static_cast<std::size_t>(size)};
}

/// The texts' ids, each text on one of so many threads.
std::vector<Ids> encode_all(const Vocabulary& vocabulary, const std::vector<std::string_view>& texts, int threads,
                            const std::atomic<bool>& interrupted) {
  std::vector<Ids> ids(texts.size());
  const auto encode = [&](std::size_t i) {
    if (!interrupted) vocabulary.encode(texts[i], ids[i]);
  };
  if (threads <= 1) {
    for (std::size_t i = 0; i < texts.size(); ++i) encode(i);
  } else {
    // The arena's threads outlive the call, and with them the words that they know.
    oneapi::tbb::task_arena arena(threads);
    arena.execute([&] {
      oneapi::tbb::parallel_for(oneapi::tbb::blocked_range<std::size_t>(0, texts.size()), [&](const auto& range) {
        for (std::size_t i = range.begin(); i < range.end(); ++i) encode(i);
      });
    });
  }
  return ids;
}

/// (ids of all texts, one behind the other; where each text's begin, and at last where they end)
py::tuple encode_batch(const Vocabulary& vocabulary, const py::sequence& sequence, int threads) {
  const auto elements = sequence.cast<std::vector<py::object>>();
  std::vector<std::string_view> texts;
  texts.reserve(elements.size());
  for (const py::object& text : elements) texts.push_back(text_of(text));
  const int cores = oneapi::tbb::info::default_concurrency();
  threads = threads > 0 ? std::min(threads, cores) : cores;
  if (threads > 1) begin_to_use_threads();
  Ids all;
  std::vector<std::int64_t> offsets{0};
  run_interruptibly([&](const std::atomic<bool>& interrupted) {
    std::vector<Ids> ids = encode_all(vocabulary, texts, threads, interrupted);
    offsets.reserve(ids.size() + 1);
    for (const Ids& one : ids) offsets.push_back(offsets.back() + static_cast<std::int64_t>(one.size()));
    all.reserve(static_cast<std::size_t>(offsets.back()));
    for (Ids& one : ids) {
      all.insert(all.end(), one.begin(), one.end());
      one = {};
    }
  });
  return py::make_tuple(array_of(std::move(all)), array_of(std::move(offsets)));
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
