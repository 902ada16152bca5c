#include "pipeline/python/batch_arrays.h"

#include <cstdint>
#include <utility>

#include <pybind11/numpy.h>

#include "pipeline/corpora/reject_json.h"
#include "pipeline/json_text.h"
#include "pipeline/rows/row_arrays.h"

namespace millrace {
namespace {

namespace py = pybind11;

/// As a line of rejects.jsonl, with the corpus in front.
Json rejects_json(const BatchOrigins& batch) {
  Json all = Json::array();
  for (const StreamRow& row : batch.rows) {
    for (std::size_t i = 0; i < row.rejects.size(); ++i) {
      Json reject{{"corpus", batch.names->corpora.at(row.reject_corpora.at(i))}};
      reject.update(Json(row.rejects[i]));
      all.push_back(std::move(reject));
    }
  }
  return all;
}

}  // namespace

py::tuple batch_for_python(Batch batch, const std::shared_ptr<const RowNames>& names) {
  auto arrays = std::make_unique<RowArrays>();
  {
    const py::gil_scoped_release unlocked;
    gather_rows(batch, *arrays);
    for (StreamRow& row : batch) {
      row.row = {};
      row.raw_tokens = {};
      row.after.reset();
    }
  }
  RowArrays* held = arrays.release();
  const py::capsule owner(held, [](void* pointer) { delete static_cast<RowArrays*>(pointer); });
  const auto array = [&](auto& values) {
    using Value = typename std::remove_reference_t<decltype(values)>::value_type;
    return py::array_t<Value>({held->rows, held->length}, values.data(), owner);
  };
  return py::make_tuple(array(held->tokens), array(held->labels), array(held->loss_weights), array(held->segment_ids),
                        array(held->positions), BatchOrigins{std::move(batch), names});
}

py::str python_text(const std::string& text) {
  PyObject* decoded = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape");
  if (decoded == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(decoded);
}

void bind_batches(py::module_& module) {
  py::class_<BatchOrigins>(module, "BatchOrigins")
      .def("first_row", [](const BatchOrigins& batch) { return batch.rows.front().number; })
      .def("row_numbers",
           [](const BatchOrigins& batch) {
             py::list numbers;
             for (const StreamRow& row : batch.rows) numbers.append(row.number);
             return numbers;
           })
      .def("examples", [](const BatchOrigins& batch,
                          std::size_t row) { return json_line(named_examples(batch.rows.at(row), *batch.names)); })
      .def("rejects", [](const BatchOrigins& batch) { return json_line(rejects_json(batch)); });
}

}  // namespace millrace
