# millrace_flags: what every target of this project is compiled with. Dependencies are SYSTEM and escape it.
add_library(millrace_flags INTERFACE)
target_include_directories(millrace_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(millrace_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(millrace_flags INTERFACE -Wthread-safety)
else()
  # False alarms of g++ 12 inside <string> and its AVX-512 intrinsics once they are inlined.
  target_compile_options(millrace_flags INTERFACE -Wno-maybe-uninitialized -Wno-uninitialized -Wno-restrict)
endif()

# The instruction set. Native by default: matrix products come from oneDNN, which chooses at run time, but norms,
# softmax and the tokenizer gain from wide vectors. Bits are the same for any thread count, not for any processor.
if(MILLRACE_PORTABLE)
  add_compile_options(-march=x86-64-v2)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options(-march=native)
endif()

if(MILLRACE_SANITIZE)
  add_compile_options(-fsanitize=${MILLRACE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MILLRACE_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # With sanitizers GCC 12 sees uninitialized variables in its own AVX-512 headers, where they are inlined.
    target_compile_options(millrace_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
endif()

if(MILLRACE_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "MILLRACE_FUZZ needs clang: cmake --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
