"""What a program writes to a terminal."""

import os
import pty
import subprocess


def output_on_terminal(command, **more):
    """What the command writes to a terminal that is its standard output, "\\r\\n" as the terminal makes it of line
    ends. A terminal hands its text on in pieces of any size, so it is read until its last writer is gone."""
    controller, terminal = pty.openpty()
    with subprocess.Popen([*map(str, command)], stdout=terminal, stderr=subprocess.PIPE, **more) as process:
        os.close(terminal)
        text = b""
        try:
            while piece := os.read(controller, 1 << 16):
                text += piece
        except OSError:  # How Linux says that a terminal has no writer any more.
            pass
        os.close(controller)
        stderr = process.stderr.read()
    assert process.returncode == 0, f"{command}: exit code {process.returncode}\n{stderr.decode(errors='replace')}"
    return text.decode(errors="replace")
