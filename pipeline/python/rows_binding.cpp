#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <pybind11/stl.h>

#include "pipeline/config/stream_identity.h"
#include "pipeline/export/stored_rows.h"
#include "pipeline/formats/staged_folder.h"
#include "pipeline/json_text.h"
#include "pipeline/python/batch_arrays.h"
#include "pipeline/python/bindings.h"

namespace millrace {
namespace {

namespace py = pybind11;

/// A folder of rows that Python holds. Threads take turns; a forked child reads on by itself.
class PythonRows {
 public:
  explicit PythonRows(const std::string& folder) : reader_(folder) {
    const ExportManifest& manifest = reader_.manifest();
    names_ = std::make_shared<const RowNames>(
        reader_.names(phases_in(manifest.identity.facts, (reader_.folder() / kOutputManifest).string())));
  }

  /// batch_for_python() of these rows, in the order asked for. REQUIRES: at least one.
  py::tuple batch(const std::vector<std::uint64_t>& numbers) {
    constexpr std::size_t kRowsAtOnce = 256;  // Between two looks for Ctrl-C.
    const std::uint64_t rows = reader_.manifest().rows;
    for (const std::uint64_t number : numbers)
      if (number >= rows)
        throw py::index_error(
            fmt::format("{}: holds {} rows: there is no row {}", reader_.folder().string(), rows, number));
    Batch batch;
    batch.reserve(numbers.size());
    for (std::size_t from = 0; from < numbers.size(); from += kRowsAtOnce) {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      const py::gil_scoped_release unlocked;
      const std::lock_guard lock(mutex_);
      for (std::size_t i = from; i < std::min(from + kRowsAtOnce, numbers.size()); ++i)
        batch.push_back(reader_.row(numbers[i]));
    }
    return batch_for_python(std::move(batch), names_);
  }

  const StoredRowReader& reader() const { return reader_; }

  std::string about() const {
    const ExportManifest& manifest = reader_.manifest();
    const ExportIdentity& identity = manifest.identity;
    return json_line({{"run", identity.run},
                      {"stream_version", identity.stream_version},
                      {"vocabulary", identity.vocabulary},
                      {"tokenizer", identity.tokenizer},
                      {"vocabulary_size", identity.vocabulary_size},
                      {"stream_ended", manifest.stream_ended},
                      {"corpora", names_->corpora}});
  }

 private:
  std::mutex mutex_;
  StoredRowReader reader_;
  std::shared_ptr<const RowNames> names_;
};

}  // namespace

void bind_rows(py::module_& module) {
  py::class_<PythonRows>(module, "Rows")
      .def(py::init<std::string>())
      .def("__len__", [](const PythonRows& rows) { return rows.reader().manifest().rows; })
      .def("sequence_length", [](const PythonRows& rows) { return rows.reader().manifest().length; })
      .def("batch", &PythonRows::batch)
      .def("about", &PythonRows::about);
}

}  // namespace millrace
