#pragma once

namespace millrace {

/// What a program can be started with and must survive. Call first in main(), before anything is opened.
/// Closed descriptors 0, 1, 2 are opened on /dev/null the wrong way round (0 to write, 1 and 2 to read): no file that
/// is opened later gets such a number and is written over by a message, and results to a closed standard output still
/// fail. A write to a pipe that nobody reads, or beyond the size that files may have, is an error of that write, and no
/// signal.
void prepare_standard_files();

}  // namespace millrace
