# How the compiler is spared work. None of it changes what is compiled: `-DMILLRACE_UNITY=OFF` compiles every source by
# itself, as scripts/check.sh does with clang and the linter, so that each includes what it uses.
option(MILLRACE_UNITY "Compile the sources of a room at once, so that their headers are read once" ON)

# g++ looks for garbage each time its memory grew by some percent, and finds little in a room's few seconds. (The linter, which
# compiles one by one, does not know the option.)
if(MILLRACE_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:--param ggc-min-heapsize=500000>")
endif()

# millrace_precompile(TARGET [HEADERS...]): the HEADERS, and those that most sources include, are read once for all of them. Not
# among them: nlohmann/json.hpp. g++ would instantiate what its inline functions use, a whole parser, wherever the precompiled
# headers are read.
function(millrace_precompile target)
  target_precompile_headers(${target} PRIVATE
    <algorithm> <cmath> <cstdint> <filesystem> <functional> <map> <memory> <optional> <string> <string_view> <utility>
    <vector> ${ARGN})
endfunction()

# millrace_compile_rooms(TARGET): the sources of a room as one. No two of them may give different things the same name. A
# source with options of its own is compiled alone all the same.
function(millrace_compile_rooms target)
  if(MILLRACE_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ takes every source but the outermost for a header, which should not give a class members of unnamed namespaces.
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${MILLRACE_UNITY} UNITY_BUILD_MODE GROUP)
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    get_filename_component(room ${source} DIRECTORY)
    if(room AND NOT IS_ABSOLUTE room)
      string(MAKE_C_IDENTIFIER ${room} room)
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${room})
    endif()
  endforeach()
endfunction()
