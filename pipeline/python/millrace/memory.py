"""The memory in which a reader's rows come: slots of a file without a name (memfd), gone with the last process that has it.

The reader makes it and the feeder fills its slots. A DataLoader's worker lends a slot to its loader, so that what goes from
process to process is a number. Each opens the file as /proc/PID/fd/NUMBER of the process that made it.

A slot begins with who holds it: a byte for the process that made the memory, a byte for the one that it was lent to. Each is set
back by that process alone. The feeder fills a slot that nobody holds, or else one more: no rows are written over while anyone may
read them, and there are as many slots as batches are held at a time.
"""

import math
import os
import struct
import weakref
from mmap import PAGESIZE, mmap
from typing import Callable, Dict, Sequence, Set, Tuple

import numpy

from . import ARRAYS

_HEAD = struct.Struct("<BB6xQ48x")  # Held by its process, held by who borrowed it, the rows' first. The arrays follow.
_MINE, _BORROWED = 0, 1
_FREE = b"\0\0"


class FeederError(RuntimeError):
    """The feeder, or another reader, ended before it should."""


class Memory:
    """The file, as a process has it open."""

    def __init__(self, fd: int, process: int, number: int) -> None:
        self.fd, self.process, self.number = fd, process, number
        self.mappings: Dict[int, mmap] = {}  #: Of slots, by where they begin.

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.fd)  # Also when the interpreter ends, and `os` is no more.

    @staticmethod
    def create() -> "Memory":
        """A reader's own. Those that nobody wants are closed here."""
        for memory in list(_LENT):
            _LENT.discard(memory)
            if memory.lends():
                _LENT.add(memory)
        fd = os.memfd_create("millrace-rows", os.MFD_CLOEXEC)
        return Memory(fd, os.getpid(), fd)

    @staticmethod
    def of(process: int, number: int) -> "Memory":
        """That of another process."""
        return Memory(os.open(f"/proc/{process}/fd/{number}", os.O_RDWR | os.O_CLOEXEC), process, number)

    def lends(self) -> bool:
        return any(os.pread(self.fd, 1, offset + _BORROWED) == b"\1" for offset in list(self.mappings))


_LENT: Set[Memory] = set()  # Kept open until their slots were read.


class SlotWriter:
    """Fills slots of a reader's memory, each for so many rows at most."""

    def __init__(self, memory: Memory, rows: int) -> None:
        self._memory, self._rows = memory, rows
        self._count = 0

    def write(self, first_row: int, arrays: Sequence[numpy.ndarray]) -> int:
        """These rows; the arrays in their order, (rows, T). Returns where the slot begins."""
        size = -(-(_HEAD.size + len(arrays) * self._rows * arrays[0][0].nbytes) // PAGESIZE) * PAGESIZE
        fd = self._memory.fd
        offset = next((slot * size for slot in range(self._count) if os.pread(fd, 2, slot * size) == _FREE), self._count * size)
        if offset == self._count * size:
            os.ftruncate(fd, offset + size)
            self._count += 1
        expected = _HEAD.size + sum(array.nbytes for array in arrays)
        written = os.pwritev(fd, [_HEAD.pack(1, 0, first_row), *arrays], offset)
        if written != expected:
            raise OSError(f"millrace: only {written} of {expected} bytes of rows could be written to memory")
        return offset


class Slot:
    """A filled slot; held until it was read, or until its view is gone."""

    __slots__ = ("memory", "offset", "first_row", "shape", "lent", "_holder")

    def __init__(self, memory: Memory, offset: int, first_row: int, rows: int, length: int, holder: int = _MINE) -> None:
        self.memory, self.offset, self.first_row, self._holder = memory, offset, first_row, holder
        self.shape, self.lent = (len(ARRAYS), rows, length), False

    def read(self) -> numpy.ndarray:
        """A copy of the rows: int32 (5, rows, T), of loss_weights the bits. Once: the slot is given back."""
        head, values = bytearray(_HEAD.size), numpy.empty(self.shape, numpy.int32)
        count = os.preadv(self.memory.fd, [head, values], self.offset)
        if count != len(head) + values.nbytes or not head[self._holder] or _HEAD.unpack(head)[2] != self.first_row:
            raise FeederError(f"millrace: the rows from {self.first_row} on were given back: a lent batch can be taken once")
        _give_back(self.memory, self.offset + self._holder, os.getpid())
        return values

    def view(self) -> numpy.ndarray:
        """The rows where they are; they stay there as long as the array or a view of it does."""
        size = _HEAD.size + math.prod(self.shape) * numpy.dtype(numpy.int32).itemsize
        mapping = self.memory.mappings.get(self.offset)
        if mapping is None or len(mapping) < size:
            mapping = self.memory.mappings[self.offset] = mmap(self.memory.fd, size, offset=self.offset)
        values = numpy.ndarray(self.shape, numpy.int32, mapping, _HEAD.size)
        weakref.finalize(values, _give_back, self.memory, self.offset + self._holder, os.getpid()).atexit = False
        return values

    def lend(self) -> Tuple[int, ...]:
        """What another process takes the rows with, by borrow(), once. They have to be viewed meanwhile."""
        os.pwrite(self.memory.fd, b"\1", self.offset + _BORROWED)
        _LENT.add(self.memory)
        self.lent = True
        return (self.memory.process, self.memory.number, self.offset, self.first_row, *self.shape[1:])


def borrow(process: int, number: int, *place: int) -> "Slot":
    """The slot that a process lent."""
    try:
        memory = Memory.of(process, number)
    except OSError as error:
        raise FeederError(f"millrace: process {process} ended before a batch that it lent was taken: {error}") from None
    return Slot(memory, *place, holder=_BORROWED)


def _give_back(memory: Memory, place: int, process: int) -> None:
    if os.getpid() == process:  # A fork of it holds nothing.
        os.pwrite(memory.fd, b"\0", place)
