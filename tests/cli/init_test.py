"""millrace init, and computing with what it drew: init_test.py MILLRACE"""

import json
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = None


def millrace(*arguments, code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}: {done.stderr}"
    return done


def write_ids(path, ids):
    """A safetensors file with one row of input ids."""
    data = struct.pack(f"<{len(ids)}i", *ids)
    header = json.dumps({"input_ids": {"dtype": "I32", "shape": [1, len(ids)], "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


def tensor(path, name):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8 : 8 + size])[name]
    begin, end = (8 + size + offset for offset in entry["data_offsets"])
    return struct.unpack(f"<{(end - begin) // 4}f", data[begin:end])


class Init(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="millrace-init-")
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)

    def logits(self, model, precision):
        write_ids(self.folder / "ids", [0, 5, 9, 17, 3, 60])
        out = self.folder / f"{model.name}.{precision}"
        millrace("logits", model, "--ids", self.folder / "ids", "--out", out, "--precision", precision)
        return tensor(out, "logits")

    def test_the_same_seed_gives_the_same_bytes_and_another_others(self):
        for name, seed in (("a", 3), ("b", 3), ("c", 4)):
            millrace("init", "openmoe-micro", "--out", self.folder / name, "--seed", seed)
        a, b, c = ((self.folder / name / "model.safetensors").read_bytes() for name in "abc")
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_what_was_drawn_is_told_and_can_be_computed_with(self):
        told = json.loads(millrace("init", "openmoe-micro", "--out", self.folder / "full", "--json").stdout)
        half = json.loads(millrace("init", "openmoe-micro", "--out", self.folder / "half", "--dtype", "bf16", "--json").stdout)
        self.assertEqual((told["parameters"] * 4, told["dtype"]), (told["bytes"], "f32"))
        self.assertEqual(half["bytes"] * 2, told["bytes"])
        exact = self.logits(self.folder / "full", "f32")
        largest = max(map(abs, exact))
        for model, precision in (("half", "f32"), ("half", "auto"), ("full", "auto")):
            near = self.logits(self.folder / model, precision)
            self.assertEqual(len(near), len(exact))
            self.assertLess(max(abs(a - b) for a, b in zip(near, exact)), 0.05 * largest, (model, precision))

    def test_refuses_what_cannot_be_done_and_leaves_nothing(self):
        self.assertIn("openmoe-nano", millrace("init", "openmoe-9b", "--out", self.folder / "x", code=2).stderr)
        self.assertFalse((self.folder / "x").exists())
        (self.folder / "there").mkdir()
        (self.folder / "there" / "theirs").write_text("x")
        refused = millrace("init", "openmoe-micro", "--out", self.folder / "there", code=2).stderr
        self.assertIn("there: not empty; choose another folder", refused)
        self.assertIn("is no folder", millrace("init", "openmoe-micro", "--out", self.folder / "there/theirs", code=2).stderr)

    def test_an_interrupted_one_leaves_no_weights(self):
        out = self.folder / "large"
        process = subprocess.Popen([PROGRAM, "init", "openmoe-base", "--out", str(out)], stderr=subprocess.PIPE, text=True)
        while not list(out.glob(".millrace-*.tmp")):
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate()
        self.assertEqual(process.returncode, 130)
        self.assertEqual(list(out.iterdir()), [])


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
