"""Ctrl-C, threads and forks: processes_test.py MILLRACE"""

import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest

from python_run import slow_run

import millrace
import tiny_run


def first_row(run):
    with millrace.Stream(run) as stream:
        return next(stream).tokens.tolist()


class Processes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="millrace-python-"))
        cls.run_file = tiny_run.write_run(cls.folder / "tiny")
        cls.slow = slow_run(cls.folder / "slow")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def script(self, text, *arguments):
        """Runs a script in a Python of its own; it must end by itself."""
        return subprocess.run([sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)], capture_output=True,
                              text=True, timeout=300)

    def test_ctrl_c_ends_a_wait_at_once_and_the_stream_lives_on(self):
        script = """
            import sys, time, millrace
            stream = millrace.Stream(sys.argv[1])
            print("waits", flush=True)
            for _ in range(2):
                try:
                    next(stream)
                except KeyboardInterrupt:
                    print("interrupted", stream.row, flush=True)
        """
        # What a shell starts in the background has Ctrl-C ignored, and Python leaves it so.
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(self.slow)], stdout=subprocess.PIPE,
                                   text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.assertEqual(process.stdout.readline(), "waits\n")
        for _ in range(2):
            time.sleep(0.3)
            asked = time.monotonic()
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.stdout.readline(), "interrupted 0\n")
            self.assertLess(time.monotonic() - asked, 5)
        self.assertEqual(process.wait(120), 0)
        process.stdout.close()

    def test_other_threads_go_on_while_rows_are_made(self):
        stream = millrace.Stream(self.slow)
        ended = []

        def take():
            try:
                next(stream)
            except ValueError as error:
                ended.append(str(error))

        waiting = threading.Thread(target=take)
        waiting.start()
        time.sleep(0.2)
        with self.assertRaisesRegex(ValueError, "in use by another thread"):
            next(stream)
        stream.close()
        waiting.join(60)
        self.assertFalse(waiting.is_alive())
        self.assertIn("closed by another thread", ended[0])

    def test_a_forked_child_is_told_and_ends(self):
        done = self.script("""
            import os, sys, millrace
            stream = millrace.Stream(sys.argv[1])
            next(stream)
            child = os.fork()
            if child == 0:
                for use in (lambda: next(stream), stream.state, lambda: millrace.Stream(sys.argv[1])):
                    try:
                        use()
                    except RuntimeError as error:
                        print(error, flush=True)
                sys.exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(next(stream)))
        """, self.run_file)
        self.assertEqual(done.stderr, "")
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 4)
        for line in lines[:3]:
            self.assertIn("fork", line)
            self.assertIn("spawn", line)
        self.assertEqual(lines[3], "7 4")

    def test_a_child_that_was_forked_before_makes_its_own(self):
        done = self.script("""
            import os, sys, millrace
            child = os.fork()
            rows = next(millrace.Stream(sys.argv[1])).tokens.tolist()
            if child == 0:
                sys.exit(len(rows))
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """, self.run_file)
        self.assertEqual((done.stdout, done.stderr), ("4\n", ""))

    def test_a_forked_child_leaves_its_parents_iterator_alone_and_begins_its_own(self):
        done = self.script("""
            import os, sys, millrace.jax
            iterator = millrace.jax.DatasetIterator(sys.argv[1], batch_rows=4, threads=1)
            next(iterator)
            child = os.fork()
            if child == 0:
                try:
                    next(iterator)
                except RuntimeError as error:
                    print(error, flush=True)
                other = millrace.jax.DatasetIterator(sys.argv[1], batch_rows=3, threads=1)
                print(len(next(other)["tokens"]), other.get_state()["row"], flush=True)
                iterator.set_state(iterator.get_state())
                print(len(next(iterator)["tokens"]), iterator.get_state()["row"], flush=True)
                sys.exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(next(iterator)["tokens"]), iterator.get_state()["row"])
        """, self.run_file)
        lines = done.stdout.splitlines()
        self.assertIn("is a fork: begin a new iterator here", lines[0])
        self.assertEqual(lines[1:], ["3 3", "4 8", "7 4 8"], done.stderr)

    def test_a_spawned_child_makes_its_own(self):
        here = first_row(self.run_file)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            self.assertEqual(pool.apply(first_row, (self.run_file,)), here)

    def test_a_stream_that_nobody_closes_holds_up_no_exit(self):
        done = self.script("""
            import sys, millrace
            kept = millrace.Stream(sys.argv[1])
            next(kept)
            also = millrace.Stream(sys.argv[2])
        """, self.run_file, self.slow)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
