# Debian 12 packages, installed by scripts/deps.sh. Nothing is downloaded here.
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(TBB 2021.6 REQUIRED CONFIG)
find_package(simdjson REQUIRED CONFIG)
if(MILLRACE_ONEDNN)
  find_package(dnnl REQUIRED CONFIG)
endif()
find_package(CLI11 REQUIRED CONFIG)
find_package(fmt REQUIRED CONFIG)
find_package(spdlog REQUIRED CONFIG)
find_package(nlohmann_json REQUIRED CONFIG)
find_package(tomlplusplus REQUIRED CONFIG)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(LZ4 REQUIRED IMPORTED_TARGET liblz4)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)
find_path(PROTOZERO_INCLUDE_DIR protozero/pbf_builder.hpp REQUIRED)  # Headers only.

# DuckDB's C library reads Parquet. scripts/deps.sh installs it into build/deps; a system library takes precedence.
# Without it the program builds, and reports what to install when a mix names a Parquet shard.
find_path(DUCKDB_INCLUDE_DIR duckdb.h PATHS ${CMAKE_SOURCE_DIR}/build/deps/duckdb)
find_library(DUCKDB_LIBRARY duckdb PATHS ${CMAKE_SOURCE_DIR}/build/deps/duckdb)
if(DUCKDB_INCLUDE_DIR AND DUCKDB_LIBRARY)
  add_library(duckdb SHARED IMPORTED)
  set_target_properties(duckdb PROPERTIES IMPORTED_LOCATION ${DUCKDB_LIBRARY}
                                          INTERFACE_INCLUDE_DIRECTORIES ${DUCKDB_INCLUDE_DIR}
                                          INTERFACE_COMPILE_DEFINITIONS MILLRACE_HAS_DUCKDB)
  message(STATUS "DuckDB: ${DUCKDB_LIBRARY}")
else()
  message(WARNING "DuckDB not found: Parquet shards cannot be read. Run scripts/deps.sh, then configure again.")
endif()

# uPlot draws the charts of `millrace report`. scripts/deps.sh installs it into build/deps.
# Without it the program builds, and `millrace report` says how to install it.
set(UPLOT_FILES ${CMAKE_SOURCE_DIR}/build/deps/uplot/uPlot.iife.min.js ${CMAKE_SOURCE_DIR}/build/deps/uplot/uPlot.min.css
                ${CMAKE_SOURCE_DIR}/build/deps/uplot/LICENSE)
foreach(file IN LISTS UPLOT_FILES)
  if(NOT EXISTS ${file})
    message(WARNING "uPlot not found: no reports can be made. Run scripts/deps.sh, then configure again.")
    set(UPLOT_FILES "")
    break()
  endif()
endforeach()
