#include "cli/console/open_vocabulary.h"

#include "cli/console/messages.h"

namespace millrace {

Vocabulary open_vocabulary(const std::filesystem::path& file) {
  Vocabulary vocabulary(file);
  if (!vocabulary.slow_because().empty()) {
    say("{}: encoded by libsentencepiece, some ten times as slowly as a unigram vocabulary: {}", file.string(),
        vocabulary.slow_because());
  }
  return vocabulary;
}

}  // namespace millrace
