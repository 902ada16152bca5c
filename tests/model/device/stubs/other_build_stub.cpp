// A plug-in of another build of the program, which must not be asked for a device.
#include <cstdint>
#include <cstdlib>

extern "C" std::uint64_t millrace_cuda_interface() {
  return 1;
}

extern "C" void* millrace_open_cuda(int /*precision*/, void* /*reason*/) {
  std::abort();
}
