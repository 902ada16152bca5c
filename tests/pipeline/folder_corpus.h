#pragma once

#include <string>

#include "pipeline/config/stream_config.h"

namespace millrace {

inline constexpr ShareUnits kPercent = kShareUnits / 100;

/// A corpus whose shards are in the folder of its name.
inline Corpus folder_corpus(const std::string& name, ShareUnits share, double max_epochs = 0,
                            AtEnd at_end = AtEnd::repeat) {
  Corpus corpus;
  corpus.name = name;
  corpus.share = share;
  corpus.patterns = {name};
  corpus.max_epochs = max_epochs;
  corpus.at_end = at_end;
  return corpus;
}

}  // namespace millrace
