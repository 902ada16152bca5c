#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include <pybind11/pybind11.h>

#include "pipeline/python/batch_arrays.h"
#include "pipeline/python/bindings.h"
#include "stages/errors.h"

namespace millrace {
namespace {

namespace py = pybind11;

void raise(const py::handle& type, const std::string& message) {
  PyErr_SetObject(type.ptr(), python_text(message).ptr());
}

/// The program's errors: ConfigError is a ValueError, DataError a RuntimeError, a failure of the system an OSError.
void bind_errors(py::module_& module) {
  static const py::handle kConfigError = py::exception<ConfigError>(module, "ConfigError", PyExc_ValueError).release();
  static const py::handle kDataError = py::exception<DataError>(module, "DataError", PyExc_RuntimeError).release();
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      std::rethrow_exception(std::move(pointer));
    } catch (const ConfigError& error) {
      raise(kConfigError, error.what());
    } catch (const DataError& error) {
      raise(kDataError, error.what());
    } catch (const std::system_error& error) {
      const py::tuple arguments = py::make_tuple(error.code().value(), python_text(error.what()));
      PyErr_SetObject(PyExc_OSError, arguments.ptr());
    }
  });
}

}  // namespace
}  // namespace millrace

PYBIND11_MODULE(_core, module) {
  module.attr("__version__") = MILLRACE_VERSION;
  millrace::bind_errors(module);
  millrace::bind_batches(module);
  millrace::bind_stream(module);
  millrace::bind_rows(module);
  millrace::bind_tokenizer(module);
  millrace::bind_plan(module);
}
