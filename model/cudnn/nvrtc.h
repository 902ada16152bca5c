#pragma once

namespace millrace {

/// cuDNN compiles kernels by NVRTC, which looks for a part of itself (its built-in functions) where the system's
/// libraries are, but not beside itself. This opens that part, so that it is found wherever NVRTC was. Does nothing
/// where NVRTC is not found: cuDNN then says so.
void open_nvrtc_parts();

}  // namespace millrace
