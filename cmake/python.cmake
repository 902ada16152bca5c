# The Python module: pipeline/python is built where Python's headers and pybind11 are found: Debian's, or those that pip brings.
# Nothing is downloaded here. Sets MILLRACE_WITH_PYTHON.
set(MILLRACE_PYTHON AUTO CACHE STRING "The Python module: AUTO (where Python's headers and pybind11 are found), ON, OFF")
set_property(CACHE MILLRACE_PYTHON PROPERTY STRINGS AUTO ON OFF)
set(MILLRACE_WITH_PYTHON OFF)

# Ends the search: an error if the module was asked for, else a line that says what is missing.
macro(millrace_without_python reason)
  if(MILLRACE_PYTHON STREQUAL "ON")
    message(FATAL_ERROR "MILLRACE_PYTHON=ON: ${reason}. Run scripts/deps.sh test.")
  endif()
  message(STATUS "Python module: no, ${reason}")
  return()
endmacro()

if(MILLRACE_PYTHON STREQUAL "OFF")
  millrace_without_python("MILLRACE_PYTHON=OFF")
elseif(MILLRACE_PYTHON STREQUAL "AUTO" AND (MILLRACE_FUZZ OR MILLRACE_SANITIZE))
  millrace_without_python("sanitizers would have to be loaded before Python")
endif()

# Debian's own Python is the one that has Debian's NumPy; pip names another.
if(NOT DEFINED Python_EXECUTABLE AND EXISTS /usr/bin/python3)
  set(Python_EXECUTABLE /usr/bin/python3)
endif()
find_package(Python 3.9 QUIET COMPONENTS Interpreter Development.Module)
if(NOT Python_Development.Module_FOUND)
  millrace_without_python("the headers of Python 3.9 or later were not found")
endif()
find_package(pybind11 2.10 QUIET CONFIG)
if(NOT pybind11_FOUND)
  millrace_without_python("pybind11 2.10 or later was not found")
endif()
set(MILLRACE_WITH_PYTHON ON)
message(STATUS "Python module: for Python ${Python_VERSION}, with pybind11 ${pybind11_VERSION}")
