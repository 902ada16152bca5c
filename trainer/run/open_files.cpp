#include "trainer/run/open_files.h"

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace millrace {

void require_open_files(std::size_t files) {
  std::vector<int> granted;
  granted.reserve(files);
  int error = 0;
  while (error == 0 && granted.size() < files) {
    const int descriptor = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
      granted.push_back(descriptor);
    } else {
      error = errno;
    }
  }
  for (const int descriptor : granted) ::close(descriptor);
  if (error == 0) return;
  throw std::runtime_error(
      fmt::format("{} of {} files that are needed can be open at once: {}; raise the limit (ulimit -n)", granted.size(),
                  files, std::generic_category().message(error)));
}

}  // namespace millrace
