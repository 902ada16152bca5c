#pragma once

namespace millrace {

/// Makes the program robust against closed or broken standard files. Call first in main(), before anything is opened.
/// Closed descriptors 0, 1, 2 are opened on /dev/null the wrong way round (0 for writing, 1 and 2 for reading): no file
/// opened later gets such a number and is overwritten by a message, and writing results to a closed standard output
/// still fails. Writing to a pipe without a reader, or beyond the file size limit, is an error of that write and not a
/// signal.
void prepare_standard_files();

}  // namespace millrace
