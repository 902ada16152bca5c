// A driver's library as far as fault_of_cuda_driver asks it: STUB_VERSION, STUB_INIT (what cuInit returns), STUB_CARDS.
extern "C" {

int cuDriverGetVersion(int* version) {
  *version = STUB_VERSION;
  return 0;
}

int cuInit(unsigned /*flags*/) {
  return STUB_INIT;
}

int cuDeviceGetCount(int* count) {
  *count = STUB_CARDS;
  return 0;
}

int cuGetErrorString(int error, const char** text) {
  *text = error == 803 ? "system has unsupported display driver / cuda driver combination" : nullptr;
  return error == 803 ? 0 : 1;
}

}  // extern "C"
