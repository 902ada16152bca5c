# NVIDIA cards: model/cuda is built where CUDA 12.8 or later and cuDNN 9.12 or later are found: those of
# `scripts/deps.sh cuda`, which take precedence, or this machine's. Nothing is downloaded here. Sets MILLRACE_CUDA_MAJOR:
# CUDA's major version, 0 without.
set(MILLRACE_CUDA AUTO CACHE STRING "For NVIDIA cards: AUTO (where CUDA and cuDNN are found), ON, OFF")
set_property(CACHE MILLRACE_CUDA PROPERTY STRINGS AUTO ON OFF)
set(MILLRACE_CUDA_MAJOR 0)

# Ends the search: an error if CUDA was asked for, else a line that says what is missing.
macro(millrace_without_cuda reason)
  if(MILLRACE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "MILLRACE_CUDA=ON: ${reason}. Run scripts/deps.sh cuda, or set CUDA_HOME to a toolkit.")
  endif()
  message(STATUS "CUDA: no, ${reason}")
  return()
endmacro()

if(MILLRACE_CUDA STREQUAL "OFF")
  millrace_without_cuda("MILLRACE_CUDA=OFF")
elseif(MILLRACE_FUZZ OR MILLRACE_SANITIZE OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  millrace_without_cuda("it is built by g++ only, without sanitizers")
endif()

find_program(MILLRACE_NVCC nvcc
  HINTS ${CMAKE_SOURCE_DIR}/build/deps/cuda ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
if(NOT MILLRACE_NVCC)
  millrace_without_cuda("nvcc was not found")
endif()
execute_process(COMMAND ${MILLRACE_NVCC} --version OUTPUT_VARIABLE nvcc_version ERROR_VARIABLE nvcc_version)
if(NOT nvcc_version MATCHES "release ([0-9]+\\.[0-9]+)" OR CMAKE_MATCH_1 VERSION_LESS 12.8)
  millrace_without_cuda("${MILLRACE_NVCC} is older than 12.8 or does not run")
endif()
get_filename_component(cuda_folder ${MILLRACE_NVCC} REALPATH)
get_filename_component(cuda_folder ${cuda_folder}/../.. ABSOLUTE)

find_path(CUDNN_INCLUDE_DIR cudnn_version.h HINTS ${cuda_folder}/include)
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${cuda_folder}/lib64 ${cuda_folder}/lib)
if(NOT CUDNN_INCLUDE_DIR OR NOT CUDNN_LIBRARY)
  millrace_without_cuda("cuDNN was not found beside ${MILLRACE_NVCC}")
endif()
file(STRINGS ${CUDNN_INCLUDE_DIR}/cudnn_version.h cudnn_lines REGEX "#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) [0-9]+")
string(REGEX REPLACE "[^0-9;]" "" cudnn_version "${cudnn_lines}")
string(REPLACE ";" "." cudnn_version "${cudnn_version}")
if(NOT cudnn_version VERSION_GREATER_EQUAL 9.12)
  millrace_without_cuda("cuDNN in ${CUDNN_INCLUDE_DIR} is ${cudnn_version}, older than 9.12")
endif()

set(CMAKE_CUDA_COMPILER ${MILLRACE_NVCC})
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90)  # Machine code for H100 and H200, and PTX for what comes after them.
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know it of nvcc 12 and later.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
# CMake 3.25's own module asks for a library of older toolkits that CUDA 13 has no more.
if(NOT TARGET CUDA::nvToolsExt)
  add_library(CUDA::nvToolsExt INTERFACE IMPORTED)
endif()
find_package(CUDAToolkit 12.8 REQUIRED)
set(MILLRACE_CUDA_MAJOR ${CUDAToolkit_VERSION_MAJOR})
message(STATUS "CUDA: ${CUDAToolkit_VERSION} in ${cuda_folder}, cuDNN ${cudnn_version}")
