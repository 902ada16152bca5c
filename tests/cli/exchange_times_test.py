"""exchange_times between two machines, which are namespaces of this one, joined by a link of 1 Gbit/s:
exchange_times_test.py PROGRAM. Exit status 77: not root, or no mpirun, ip or tc."""

import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import two_machines_test

if __name__ == "__main__":
    two_machines_test.skip_unless_there_can_be_machines()
    with tempfile.TemporaryDirectory(prefix="millrace-exchange-times-") as folder:
        link = two_machines_test.Link()
        try:
            command = two_machines_test.on_both(link, pathlib.Path(folder), 1, [pathlib.Path(sys.argv[1]).resolve()])
            sys.exit(subprocess.run(command, env=two_machines_test.ENVIRONMENT, timeout=300).returncode)
        finally:
            link.close()
