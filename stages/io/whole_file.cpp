#include "stages/io/whole_file.h"

#include <memory>
#include <string_view>

#include "stages/io/input_file.h"

namespace millrace {

std::string read_whole_file(const std::filesystem::path& path) {
  const std::unique_ptr<InputFile> file = InputFile::stream(path.string());
  std::string bytes;
  for (InputFile::View view = file->peek(); view.size > 0; view = file->peek()) {
    bytes.append(view.data, view.size);
    file->consume(view.size);
  }
  return bytes;
}

void for_each_line(const std::filesystem::path& log, const std::function<void(std::string& line, std::uint64_t)>& use) {
  if (!std::filesystem::exists(log)) return;
  InputFile file(log.string());
  std::string line;
  std::uint64_t number = 0;
  for (InputFile::View view = file.peek(); view.size > 0; view = file.peek()) {
    const std::string_view text(view.data, view.size);
    const std::size_t end = text.find('\n');
    line += text.substr(0, end);
    file.consume(end == text.npos ? text.size() : end + 1);
    if (end == text.npos) continue;
    use(line, ++number);
    line.clear();
  }
}

}  // namespace millrace
