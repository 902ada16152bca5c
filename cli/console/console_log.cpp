#include "cli/console/console_log.h"

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "cli/console/messages.h"
#include "cli/console/terminal_text.h"
#include "stages/io/append_file.h"

namespace millrace {
namespace {

class Sink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 protected:
  virtual void write(std::string_view text) = 0;
  void flush_() override {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::lock_guard lock(mutex_);
    const std::string text = shown({message.payload.data(), message.payload.size()});
    spdlog::details::log_msg showable = message;
    showable.payload = text;
    spdlog::memory_buf_t line;
    formatter_->format(showable, line);
    write({line.data(), line.size()});
  }

  std::recursive_mutex mutex_;  ///< Recursive: an error of this log may be reported through it.
};

class ConsoleSink : public Sink {
  void write(std::string_view text) override { write_message(text); }
};

class FileSink : public Sink {
 public:
  explicit FileSink(const std::filesystem::path& file) : file_(file, [](const std::string& what) { say_line(what); }) {}

 private:
  void write(std::string_view text) override { file_.append(text); }

  AppendFile file_;
};

}  // namespace

void start_log(const std::filesystem::path& file) {
  const auto console = std::make_shared<ConsoleSink>();
  // On a terminal the progress line is erased first; the next step redraws it.
  console->set_pattern(isatty(STDERR_FILENO) == 1 ? "\r\033[K%H:%M:%S %v" : "%H:%M:%S %v");
  const auto log = std::make_shared<FileSink>(file);
  log->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("millrace", spdlog::sinks_init_list{console, log}));
  when_messages_fail([log](const std::string& what) {
    log->log({"millrace", spdlog::level::err, fmt::format("{}; the run goes on without it", what)});
  });
}

void start_log_of_rank(const std::filesystem::path& file, const std::string& name) {
  const auto console = std::make_shared<ConsoleSink>();
  console->set_pattern(fmt::format("millrace: {}: %v", name));
  console->set_level(spdlog::level::warn);
  const auto log = std::make_shared<FileSink>(file);
  log->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("millrace", spdlog::sinks_init_list{console, log}));
}

}  // namespace millrace
