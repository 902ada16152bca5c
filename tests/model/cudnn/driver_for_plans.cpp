// A driver's library with which cuDNN compiles for a card that is only described to it: what it looks up while it does
// so is there; what would need a card refuses (CUDA_ERROR_STUB_LIBRARY).
namespace {

constexpr int kRefused = 34;
constexpr int kLimit = 1024;  ///< Of any attribute of a kernel.

/// What stands for a kernel, a module or a library.
long handle[64];

int give_handle(void** to) {
  *to = handle;
  return 0;
}
int give_limit(int* to) {
  *to = kLimit;
  return 0;
}

}  // namespace

#define REFUSE(name)      \
  extern "C" int name() { \
    return kRefused;      \
  }
#define ACCEPT(name)      \
  extern "C" int name() { \
    return 0;             \
  }
#define GIVE_HANDLE(name)          \
  extern "C" int name(void** to) { \
    return give_handle(to);        \
  }
#define GIVE_LIMIT(name)         \
  extern "C" int name(int* to) { \
    return give_limit(to);       \
  }

ACCEPT(cuInit)
ACCEPT(cuFuncSetAttribute)
ACCEPT(cuKernelSetAttribute)
ACCEPT(cuLibraryLoadFromFile)
ACCEPT(cuLibraryUnload)
ACCEPT(cuModuleUnload)
GIVE_LIMIT(cuFuncGetAttribute)
GIVE_LIMIT(cuKernelGetAttribute)
GIVE_HANDLE(cuLibraryGetKernel)
GIVE_HANDLE(cuLibraryLoadData)
GIVE_HANDLE(cuModuleGetFunction)
GIVE_HANDLE(cuModuleLoadData)
GIVE_HANDLE(cuModuleLoadDataEx)
GIVE_HANDLE(cuModuleLoadFatBinary)
REFUSE(cuCtxGetCurrent)
REFUSE(cuCtxGetDevice)
REFUSE(cuCtxGetLimit)
REFUSE(cuCtxPopCurrent)
REFUSE(cuCtxPushCurrent)
REFUSE(cuDeviceGet)
REFUSE(cuDeviceGetAttribute)
REFUSE(cuDeviceGetCount)
REFUSE(cuDevicePrimaryCtxRelease)
REFUSE(cuDevicePrimaryCtxReset)
REFUSE(cuDevicePrimaryCtxRetain)
REFUSE(cuDriverGetVersion)
REFUSE(cuGetErrorName)
REFUSE(cuGetErrorString)
REFUSE(cuGetExportTable)
REFUSE(cuLaunchCooperativeKernel)
REFUSE(cuLaunchKernel)
REFUSE(cuLaunchKernelEx)
REFUSE(cuLinkAddData)
REFUSE(cuLinkAddData_v2)
REFUSE(cuLinkAddFile_v2)
REFUSE(cuLinkComplete)
REFUSE(cuLinkCreate)
REFUSE(cuLinkCreate_v2)
REFUSE(cuLinkDestroy)
REFUSE(cuMemcpyDtoH_v2)
REFUSE(cuModuleGetGlobal_v2)
REFUSE(cuOccupancyMaxActiveBlocksPerMultiprocessor)
REFUSE(cuOccupancyMaxPotentialClusterSize)
REFUSE(cuStreamGetCtx)
REFUSE(cuStreamSynchronize)
REFUSE(cuTensorMapEncodeTiled)
