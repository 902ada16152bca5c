#pragma once

#include <pybind11/pybind11.h>

namespace millrace {

/// The parts of the module _core. What they give back as JSON, and more, is made convenient in millrace/__init__.py.
void bind_stream(pybind11::module_& module);
void bind_rows(pybind11::module_& module);
void bind_tokenizer(pybind11::module_& module);
void bind_plan(pybind11::module_& module);

}  // namespace millrace
