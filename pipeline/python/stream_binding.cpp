#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <pybind11/stl.h>

#include "pipeline/json_text.h"
#include "pipeline/python/batch_arrays.h"
#include "pipeline/python/bindings.h"
#include "pipeline/python/interruptible.h"
#include "pipeline/python/own_process.h"
#include "pipeline/python/stream_reader.h"

namespace millrace {
namespace {

namespace py = pybind11;

/// A StreamReader that Python holds: Python's lock, signals, other threads, forks.
class PythonStream {
 public:
  PythonStream(std::string run, std::string data, std::vector<std::string> sets, std::optional<std::string> start,
               int batch_rows, int threads) {
    const StreamReading reading{
        {std::move(run), std::move(data), std::move(sets)}, std::move(start), batch_rows, threads};
    begin_to_use_threads();
    run_interruptibly([&](const std::atomic<bool>& interrupted) {
      reader_ = std::make_unique<StreamReader>(reading, interrupted, [this] {
        if (!interrupted_) interrupted_ = signal_raised();
        return interrupted_;
      });
    });
    names_ = std::make_shared<const RowNames>(reader_->names());
  }

  /// In a forked child there are no threads to wait for.
  ~PythonStream() {
    if (!process_.is_this()) static_cast<void>(reader_.release());
  }
  PythonStream(const PythonStream&) = delete;
  PythonStream& operator=(const PythonStream&) = delete;

  /// batch_for_python(), or None at the end.
  py::object next() {
    reader_in_use();
    const InUse use(in_use_);
    if (closed_) throw py::value_error("this millrace.Stream is closed");
    std::optional<Batch> batch;
    interrupted_ = false;
    {
      const py::gil_scoped_release unlocked;
      batch = reader_->next();
    }
    if (interrupted_) throw py::error_already_set();
    log(reader_->take_notices());
    if (batch) return batch_for_python(std::move(*batch), names_);
    if (closed_) throw py::value_error("this millrace.Stream was closed by another thread");
    return py::none();
  }

  void close() {
    process_.require(kName);
    if (!closed_.exchange(true)) reader_->stop();
  }

  std::string state() {
    reader_in_use();
    const InUse use(in_use_);
    return json_line(reader_->state());
  }

  std::string ledger() {
    reader_in_use();
    const InUse use(in_use_);
    return json_line(named_ledger(reader_->state().ledger, *names_));
  }

  const StreamReader& reader_in_use() const {
    process_.require(kName);
    return *reader_;
  }

 private:
  static constexpr const char* kName = "this millrace.Stream";

  /// As Python's generators, which refuse a second thread.
  class InUse {
   public:
    explicit InUse(std::atomic<bool>& flag) : flag_(flag) {
      if (flag_.exchange(true)) throw py::value_error("this millrace.Stream is in use by another thread");
    }
    ~InUse() { flag_ = false; }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;

   private:
    std::atomic<bool>& flag_;
  };

  static void log(const std::vector<std::string>& lines) {
    if (lines.empty()) return;
    const py::object warning = py::module_::import("logging").attr("getLogger")("millrace").attr("warning");
    for (const std::string& line : lines) warning("%s", python_text(line));
  }

  OwnProcess process_;
  std::unique_ptr<StreamReader> reader_;
  std::shared_ptr<const RowNames> names_;
  std::atomic<bool> in_use_ = false;
  std::atomic<bool> closed_ = false;
  bool interrupted_ = false;  ///< While next() waited.
};

}  // namespace

void bind_stream(py::module_& module) {
  py::class_<PythonStream>(module, "Stream")
      .def(py::init<std::string, std::string, std::vector<std::string>, std::optional<std::string>, int, int>())
      .def("next", &PythonStream::next)
      .def("close", &PythonStream::close)
      .def("state", &PythonStream::state)
      .def("ledger", &PythonStream::ledger)
      .def("row", [](const PythonStream& stream) { return stream.reader_in_use().state().position.row; })
      .def("batch_rows", [](const PythonStream& stream) { return stream.reader_in_use().batch_rows(); })
      .def("sequence_length",
           [](const PythonStream& stream) { return stream.reader_in_use().config().sequence_length; })
      .def("rows",
           [](const PythonStream& stream) {
             const StreamConfig& config = stream.reader_in_use().config();
             const auto length = static_cast<std::uint64_t>(config.sequence_length);
             return (config.phases.back().until + length - 1) / length;
           })
      .def("vocabulary_size", [](const PythonStream& stream) { return stream.reader_in_use().vocabulary().size(); })
      .def("pad", [](const PythonStream& stream) { return stream.reader_in_use().vocabulary().pad(); })
      .def("eos", [](const PythonStream& stream) { return stream.reader_in_use().vocabulary().eos(); });
}

}  // namespace millrace
