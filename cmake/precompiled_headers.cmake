# millrace_precompile(TARGET): the headers that most sources include are read once for all of them. Not among them:
# nlohmann/json.hpp. g++ would instantiate what its inline functions use, a whole parser, again in every source that the
# precompiled headers are read in: half a second each, and most sources make no JSON.
function(millrace_precompile target)
  target_precompile_headers(${target} PRIVATE
    <algorithm> <cmath> <cstdint> <filesystem> <functional> <map> <memory> <optional> <string> <string_view> <utility>
    <vector> <fmt/format.h>)
endfunction()
