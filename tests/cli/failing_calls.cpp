// A library to be preloaded: makes one call to the operating system fail, to test how the program reacts.
//   MILLRACE_FAULT="KIND NUMBER ERROR"   the call of KIND (read write sync rename map) with this number, from 1, fails
//   with
//                                        EIO, ENOSPC or EINTR, or (read, write) does half of what is asked for: SHORT
//   MILLRACE_FAULT_UNDER=FOLDER          only calls on files below it count
//   MILLRACE_FAULT_COUNTS=FILE           at the program's end, how many calls there were: a line "KIND COUNT" each
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

enum Kind { kRead, kWrite, kSync, kRename, kMap, kKinds };
constexpr std::array<const char*, kKinds> kNames{"read", "write", "sync", "rename", "map"};
constexpr int kShort = -1;  ///< Instead of an error.

struct Fault {
  Fault() {
    const char* below = std::getenv("MILLRACE_FAULT_UNDER");
    const char* text = std::getenv("MILLRACE_FAULT");
    if (below != nullptr) folder = below;
    std::array<char, 16> name{}, what{};
    if (text == nullptr || std::sscanf(text, "%15s %lu %15s", name.data(), &number, what.data()) != 3) return;
    kind = static_cast<Kind>(std::find(kNames.begin(), kNames.end(), std::string(name.data())) - kNames.begin());
    const std::string error(what.data());
    code = error == "EIO" ? EIO : error == "ENOSPC" ? ENOSPC : error == "EINTR" ? EINTR : kShort;
  }

  std::string folder;
  Kind kind = kKinds;
  unsigned long number = 0;
  int code = 0;
  std::array<std::atomic<unsigned long>, kKinds> counts{};
};

Fault& fault() {
  static Fault& fault = *new Fault;  // Never destroyed: threads may call until the process ends.
  return fault;
}

/// 0: the call is executed; else the error, or kShort.
int what_happens(Kind kind, const char* path) {
  Fault& planned = fault();
  if (planned.folder.empty() || std::strncmp(path, planned.folder.c_str(), planned.folder.size()) != 0) return 0;
  const unsigned long number = ++planned.counts[kind];
  return kind == planned.kind && number == planned.number ? planned.code : 0;
}

int what_happens(Kind kind, int descriptor) {
  const int before = errno;
  std::array<char, 32> link{};
  std::array<char, PATH_MAX> path{};
  std::snprintf(link.data(), link.size(), "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link.data(), path.data(), path.size() - 1);
  errno = before;
  return length < 0 ? 0 : what_happens(kind, path.data());
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// Calls `real` with all or half of `size`, or fails.
template <class Real>
ssize_t with_size(int happens, std::size_t size, const Real& real) {
  if (happens == 0) return real(size);
  if (happens == kShort) return real(std::max<std::size_t>(size / 2, 1));
  errno = happens;
  return -1;
}

template <class Result, class Real>
Result whole(int happens, Result failed, const Real& real) {
  if (happens == 0 || happens == kShort) return real();
  errno = happens;
  return failed;
}

__attribute__((destructor)) void write_counts() {
  const char* file = std::getenv("MILLRACE_FAULT_COUNTS");
  if (file == nullptr) return;
  std::FILE* out = std::fopen(file, "w");
  for (int kind = 0; kind < kKinds; ++kind) std::fprintf(out, "%s %lu\n", kNames[kind], fault().counts[kind].load());
  std::fclose(out);
}

}  // namespace

extern "C" {

ssize_t read(int descriptor, void* into, std::size_t size) {
  static auto* const real = next<ssize_t(int, void*, std::size_t)>("read");
  return with_size(what_happens(kRead, descriptor), size, [&](std::size_t n) { return real(descriptor, into, n); });
}

ssize_t pread(int descriptor, void* into, std::size_t size, off_t at) {
  static auto* const real = next<ssize_t(int, void*, std::size_t, off_t)>("pread");
  return with_size(what_happens(kRead, descriptor), size, [&](std::size_t n) { return real(descriptor, into, n, at); });
}

ssize_t pread64(int descriptor, void* into, std::size_t size, off64_t at) {
  return pread(descriptor, into, size, at);
}

ssize_t write(int descriptor, const void* from, std::size_t size) {
  static auto* const real = next<ssize_t(int, const void*, std::size_t)>("write");
  return with_size(what_happens(kWrite, descriptor), size, [&](std::size_t n) { return real(descriptor, from, n); });
}

ssize_t pwrite(int descriptor, const void* from, std::size_t size, off_t at) {
  static auto* const real = next<ssize_t(int, const void*, std::size_t, off_t)>("pwrite");
  return with_size(what_happens(kWrite, descriptor), size,
                   [&](std::size_t n) { return real(descriptor, from, n, at); });
}

ssize_t pwrite64(int descriptor, const void* from, std::size_t size, off64_t at) {
  return pwrite(descriptor, from, size, at);
}

ssize_t writev(int descriptor, const iovec* parts, int count) {
  static auto* const real = next<ssize_t(int, const iovec*, int)>("writev");
  return with_size(what_happens(kWrite, descriptor), static_cast<std::size_t>(count),
                   [&](std::size_t n) { return real(descriptor, parts, static_cast<int>(n)); });
}

int fsync(int descriptor) {
  static auto* const real = next<int(int)>("fsync");
  return whole(what_happens(kSync, descriptor), -1, [&] { return real(descriptor); });
}

int fdatasync(int descriptor) {
  static auto* const real = next<int(int)>("fdatasync");
  return whole(what_happens(kSync, descriptor), -1, [&] { return real(descriptor); });
}

int rename(const char* from, const char* to) noexcept {
  static auto* const real = next<int(const char*, const char*)>("rename");
  return whole(what_happens(kRename, to), -1, [&] { return real(from, to); });
}

void* mmap(void* at, std::size_t size, int protection, int flags, int descriptor, off_t offset) noexcept {
  static auto* const real = next<void*(void*, std::size_t, int, int, int, off_t)>("mmap");
  const int happens = descriptor < 0 ? 0 : what_happens(kMap, descriptor);
  return whole(happens, MAP_FAILED, [&] { return real(at, size, protection, flags, descriptor, offset); });
}

void* mmap64(void* at, std::size_t size, int protection, int flags, int descriptor, off64_t offset) noexcept {
  return mmap(at, size, protection, flags, descriptor, offset);
}

}  // extern "C"
