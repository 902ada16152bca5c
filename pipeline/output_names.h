#pragma once

namespace millrace {

/// Name of the file that names what was passed over, in every format.
inline constexpr const char* kRejects = "rejects.jsonl";

/// Name of the file that makes an output folder whole: written last.
inline constexpr const char* kOutputManifest = "preprocess.json";

}  // namespace millrace
