"""Training on two machines, which are network and UTS namespaces of this one, joined by a link of 1 Gbit/s:
two_machines_test.py MILLRACE. Exit status 77: not root, or no mpirun, ip or tc."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import ranks_test
import train_test
from ranks_test import ENVIRONMENT, is_there

SECONDS_TO_END = 30
NETWORK = "10.77.0"
DEVICE = "veth0"

AGENT = """#!/bin/bash
# What mpirun starts a daemon with, in the place of ssh: AGENT HOST COMMAND...
host=$1; shift
exec ip netns exec {prefix}${{host##*.}} unshare -u bash -c "hostname node${{host##*.}}; $*"
"""


def call(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


class Link:
    """Two network namespaces and a link between them."""

    def __init__(self):
        self.prefix = f"millrace{os.getpid()}-"
        first, second = self.machines = [f"{self.prefix}{number}" for number in (1, 2)]
        try:
            self.make(first, second)
        except subprocess.CalledProcessError:
            self.close()
            raise

    def make(self, first, second):
        for machine in self.machines:
            call("ip", "netns", "add", machine)
        call("ip", "link", "add", DEVICE, "netns", first, "type", "veth", "peer", "name", DEVICE, "netns", second)
        for number, machine in enumerate(self.machines, 1):
            call("ip", "-n", machine, "addr", "add", f"{NETWORK}.{number}/24", "dev", DEVICE)
            for device in (DEVICE, "lo"):
                call("ip", "-n", machine, "link", "set", device, "up")
            inside = ("ip", "netns", "exec", machine, "tc")
            call(*inside, "qdisc", "add", "dev", DEVICE, "root", "handle", "1:", "htb", "default", "1", "r2q", "1000")
            call(*inside, "class", "add", "dev", DEVICE, "parent", "1:", "classid", "1:1", "htb", "rate", "1gbit", "burst", "125kb")

    def cut(self):
        call("ip", "-n", self.machines[0], "link", "set", DEVICE, "down")

    def close(self):
        for machine in self.machines:
            inside = subprocess.run(["ip", "netns", "pids", machine], capture_output=True, text=True).stdout.split()
            for process in inside:
                try:
                    os.kill(int(process), signal.SIGKILL)
                except OSError:
                    continue
            subprocess.run(["ip", "netns", "del", machine], capture_output=True)


def on_both(link, folder, ranks_a_machine, program):
    """The command that starts so many ranks of a program on each; `folder` is for its files."""
    agent = folder / "agent"
    agent.write_text(AGENT.format(prefix=link.prefix))
    agent.chmod(0o755)
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{NETWORK}.{number} slots={ranks_a_machine}\n" for number in (1, 2)))
    launcher = ["mpirun", "-n", 2 * ranks_a_machine, "--hostfile", hosts, "--bind-to", "none",
                "--mca", "plm_rsh_agent", agent, "--mca", "oob_tcp_if_include", f"{NETWORK}.0/24",
                "--mca", "btl_tcp_if_include", f"{NETWORK}.0/24"]
    words = " ".join(f"'{word}'" for word in [*launcher, *program])
    return ["ip", "netns", "exec", link.machines[0], "unshare", "-u", "bash", "-c", f"hostname node1; exec {words}"]


def skip_unless_there_can_be_machines():
    missing = [name for name in ("mpirun", "ip", "tc", "unshare") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        print("skipped: needs root, mpirun, ip, tc and unshare" + (f"; missing: {', '.join(missing)}" if missing else ""))
        sys.exit(77)


class TwoMachines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        ranks_test.Ranks.setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-two-machines-"))

    @classmethod
    def tearDownClass(cls):
        ranks_test.Ranks.tearDownClass()
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.link = Link()
        self.addCleanup(self.link.close)

    def start(self, ranks_a_machine, folder, *more):
        program = [os.path.abspath(train_test.MILLRACE), *ranks_test.Ranks.arguments(folder, *more)]
        return subprocess.Popen(on_both(self.link, self.folder, ranks_a_machine, program), env=ENVIRONMENT, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_they_give_the_bits_of_one_process(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                folder = self.folder / f"on-{ranks}"
                process = self.start(ranks, folder)
                said = process.communicate(timeout=300)[1]
                self.assertEqual(process.returncode, 0, said)
                self.assertIn(f"{2 * ranks} ranks on 2 machines (node1, node2; {ranks} each)", said)
                ranks_test.Ranks.expect_the_same_run(self, folder, ranks_test.Ranks.whole)

    def test_a_link_that_is_cut_ends_the_job(self):
        folder = self.folder / "cut"
        process = self.start(1, folder, "--set", "train.stall_seconds=5")
        self.assertTrue(ranks_test.Ranks.wait_for_step(self, process, folder, 4))
        ranks = [int(one) for machine in self.link.machines
                 for one in subprocess.run(["ip", "netns", "pids", machine], capture_output=True, text=True).stdout.split()
                 if pathlib.Path(f"/proc/{one}/comm").read_text().startswith("millrace")]
        self.assertEqual(len(ranks), 2)
        self.link.cut()
        began = time.monotonic()
        while any(map(is_there, ranks)):
            self.assertLess(time.monotonic() - began, SECONDS_TO_END)
            time.sleep(0.05)
        self.link.close()  # A launcher that waits for the other machine has nothing to wait for.
        said = process.communicate(timeout=60)[1]
        self.assertNotEqual(process.returncode, 0)
        self.assertRegex(said, r"rank \d \(node\d\) waits in step \d+ for [a-z0-9 ]+ of others since")
        ranks_test.Ranks.train(2, folder, "--resume")
        ranks_test.Ranks.expect_the_same_run(self, folder, ranks_test.Ranks.whole)


if __name__ == "__main__":
    train_test.MILLRACE = sys.argv.pop(1)
    skip_unless_there_can_be_machines()
    unittest.main()
