#include "model/cuda/captured_work.h"

#include <stdexcept>

#include "model/cuda/cuda_error.h"

namespace millrace {
namespace {

struct GraphDeleter {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using Graph = std::unique_ptr<CUgraph_st, GraphDeleter>;

Graph captured(cudaStream_t stream, const std::function<void()>& work) {
  demand(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin to record");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);
    cudaGetLastError();  // That of a capture which was broken off.
    const Graph broken(graph);
    throw;
  }
  demand(cudaStreamEndCapture(stream, &graph), "record its work");
  return Graph(graph);
}

}  // namespace

CapturedWork::CapturedWork(cudaStream_t stream, const std::function<void()>& work, const std::size_t& releases)
    : stream_(stream), releases_(releases), releases_before_(releases) {
  const Graph graph = captured(stream, work);
  cudaGraphExec_t executable = nullptr;
  demand(cudaGraphInstantiate(&executable, graph.get(), 0), "get ready for recorded work");
  graph_.reset(executable);
}

void CapturedWork::play() {
  if (releases_ != releases_before_) throw std::logic_error("memory was released that recorded work may use");
  demand(cudaGraphLaunch(graph_.get(), stream_), "take recorded work");
}

}  // namespace millrace
