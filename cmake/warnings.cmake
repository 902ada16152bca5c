# millrace_flags: the compiler flags of every target of this project. Dependencies are SYSTEM and exempt from the
# warnings.
add_library(millrace_flags INTERFACE)
target_include_directories(millrace_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(millrace_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror>)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(millrace_flags INTERFACE -Wthread-safety)
else()
  # False alarms of g++ 12 inside <string> and its AVX-512 intrinsics once they are inlined.
  target_compile_options(millrace_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized -Wno-uninitialized
    -Wno-restrict -Wno-stringop-overflow -Wno-array-bounds>)
endif()

# The instruction set. Native by default: oneDNN chooses its own for matrix products at run time, but norms, softmax and
# the tokenizer benefit from wide vectors. Results are bit-identical for any thread count, but not across processors.
if(MILLRACE_PORTABLE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-march=x86-64-v2>)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-march=native>)
endif()

if(MILLRACE_SANITIZE)
  add_compile_options(-fsanitize=${MILLRACE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MILLRACE_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # With sanitizers GCC 12 falsely reports uninitialized variables in its own inlined AVX-512 headers.
    target_compile_options(millrace_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
endif()

if(MILLRACE_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "MILLRACE_FUZZ needs clang: cmake --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
