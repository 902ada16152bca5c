"""One process a node makes the rows of a stream, once, and hands them to the node's readers. A reader is a rank, or one of the
workers of a rank's DataLoader.

A step has world_size x batch_rows rows that follow each other in the stream: the first batch_rows are rank 0's, the next
ones rank 1's. A rank's steps go to its workers in turn, as DataLoader asks them. So the place where all ranks stand is one
row of the stream, and there they can go on in any number.

Rows go through memory that each reader shares with the feeder (memory.py). What else there is to say goes through a Unix socket in
Linux's abstract namespace, so that nothing is left behind by whoever ends how. The reader that comes first begins to listen there
and starts the feeder. If a reader crashes, the feeder tells the others and ends; if the feeder crashes, the readers raise.
"""

import asyncio
import dataclasses
import errno
import json
import os
import socket
import struct
import subprocess
import sys
import time
from multiprocessing.util import Finalize, register_after_fork
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple, cast

import numpy

from . import ARRAYS, Batch, ConfigError, DataError, Stream
from .memory import FeederError, Memory, Slot, SlotWriter

_HELLO = struct.Struct("<I")  # What a reader says first: bytes of JSON that follow.
_HEADER = struct.Struct("<QQIII")  # What the feeder says: first row, where their slot begins, rows, positions of a row, bytes of
#                       text that follow. With rows the text is the state behind them, without an error, or empty at the end.
_TAKEN = b"+"  # What a reader says for each batch that came: one more can be made ready.
_BYE = b"."  # What a reader says before it leaves.
_READY = 2  # Batches that are ready for a reader at most.
_SECONDS_TO_END = 10  # In which the loader of a worker that ended without a word ends as well, if it was its end that ended the worker.


@dataclasses.dataclass(frozen=True)
class Job:
    """What is fed; the same for all readers of a node."""

    run: str
    data: Optional[str]
    sets: Tuple[str, ...]
    batch_rows: int  #: Of a rank's step.
    threads: int
    world_size: int
    local_world_size: int  #: Ranks on this node.
    workers: int  #: Readers a rank.
    drop_last: bool  #: Without the last step if it has not batch_rows for each rank.
    timeout: float  #: Seconds in which all readers must have come.


class FedBatch:
    """A rank's rows of one step; arrays as in Batch. Made of all in their order, int32 (5, rows, T), of loss_weights the bits."""

    first_row: int
    tokens: numpy.ndarray
    labels: numpy.ndarray
    loss_weights: numpy.ndarray
    segment_ids: numpy.ndarray
    positions: numpy.ndarray

    __slots__ = ("first_row", *ARRAYS)

    def __init__(self, first_row: int, values: numpy.ndarray) -> None:
        self.first_row = first_row
        self.tokens, self.labels, bits, self.segment_ids, self.positions = values
        self.loss_weights = bits.view(numpy.float32)

    def items(self) -> Iterator[Tuple[str, numpy.ndarray]]:
        """The arrays by their names."""
        return ((name, getattr(self, name)) for name in ARRAYS)


# The reader's side.

# The feeder is nobody's child, so that nobody has to wait for its end.
_BEGIN = "import os, runpy; os.fork() and os._exit(0); runpy.run_module('millrace.feeder', run_name='__main__')"


def _say_bye(connection: socket.socket) -> None:
    try:
        connection.settimeout(10)
        connection.sendall(_BYE)
        while connection.recv(1 << 20):  # What is on its way would break the connection before the word is read.
            pass
    except OSError:
        pass
    connection.close()


def _start_feeder(listener: socket.socket) -> None:
    """The feeder has the listener as its only link to this process: it is in a session of its own, out of Ctrl-C's reach."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    subprocess.run([sys.executable, "-c", _BEGIN, str(listener.fileno())], pass_fds=[listener.fileno()], check=True,
                   stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path}, start_new_session=True)


def _connect(name: str, timeout: float) -> socket.socket:
    """To the feeder of that name, which is started if there is none."""
    address = b"\0millrace-" + name.encode()
    until = time.monotonic() + timeout
    while True:
        with socket.socket(socket.AF_UNIX) as listener:
            try:
                listener.bind(address)
                listener.listen(1024)
                _start_feeder(listener)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(address)
                return connection
            except ConnectionRefusedError:  # The feeder has all its readers and listens no more, or does not yet.
                connection.close()
        if time.monotonic() > until:
            raise FeederError(f"millrace: the feeder {name} takes no reader; another job of the same group is at work: name "
                              "the groups apart with group=")
        time.sleep(0.01)


class Reader:
    """A reader's rows, as an iterator of FedBatch, or of slots. `name` tells feeders of a node apart. `loader`: the process
    that ends this one when it ends itself, as DataLoader's workers are ended."""

    def __init__(self, name: str, job: Job, rank: int, worker: int, start: Optional[Dict[str, Any]],
                 loader: Optional[int] = None) -> None:
        self._name, self._place = name, {"worker": worker, "workers": job.workers}
        self._state = start
        self._text: Optional[bytearray] = None
        self._ended = False
        self._failure: Optional[Exception] = None
        self._memory = Memory.create()
        self._connection = _connect(name, job.timeout)
        self._process = os.getpid()
        register_after_fork(self, Reader._leave_to_parent)
        # Also at the end of a process of multiprocessing, as DataLoader's workers are; not in one forked from here.
        self._say_bye = Finalize(self, _say_bye, args=(self._connection,), exitpriority=0)
        hello = json.dumps({"job": dataclasses.asdict(job), "rank": rank, "worker": worker, "process": os.getpid(),
                            "loader": loader, "memory": self._memory.number, "start": start}).encode()
        self._say(_HELLO.pack(len(hello)) + hello)

    def _leave_to_parent(self) -> None:
        """In a child of multiprocessing: so that the feeder sees the parent's end."""
        self._connection.close()

    def _say(self, word: bytes) -> None:
        try:
            self._connection.sendall(word)
        except OSError:
            pass  # Why is told when it is read from.

    def _receive(self, into: memoryview) -> None:
        while into:
            try:
                count = self._connection.recv_into(into)
            except ConnectionResetError:
                count = 0
            if count == 0:
                raise FeederError(f"millrace: the feeder {self._name} of this node crashed or was killed; what it said is on "
                                  "the standard error of the process that started it")
            into = into[count:]

    def _next(self) -> Optional[Slot]:
        header = bytearray(_HEADER.size)
        self._receive(memoryview(header))
        first_row, offset, rows, length, size = _HEADER.unpack(header)
        text = bytearray(size)
        self._receive(memoryview(text))
        if rows > 0:
            self._say(_TAKEN)
            self._text = text
            return Slot(self._memory, offset, first_row, rows, length)
        if text:
            told = json.loads(text)
            kinds = {"ConfigError": ConfigError, "DataError": DataError, "OSError": OSError}
            raise kinds.get(told["error"], FeederError)(told["message"])
        return None

    def next_slot(self) -> Optional[Slot]:
        """The next rows, where they are. None at the end."""
        if self._process != os.getpid():
            raise RuntimeError(f"these rows were begun in process {self._process}, of which {os.getpid()} is a fork: begin a new "
                               "iterator here")
        if self._failure is not None:
            raise self._failure
        if self._ended:
            return None
        try:
            slot = self._next()
        except Exception as error:
            self._failure = error
            self.close()
            raise
        except BaseException:  # Ctrl-C: a part of a message may have come.
            self._failure = FeederError(f"millrace: this reader of the feeder {self._name} was interrupted: begin a new iterator")
            self.close()
            raise
        if slot is None:
            self.close()
        return slot

    def __iter__(self) -> "Reader":
        return self

    def __next__(self) -> FedBatch:
        slot = self.next_slot()
        if slot is None:
            raise StopIteration
        return FedBatch(slot.first_row, slot.read())

    def state(self) -> Optional[Dict[str, Any]]:
        """Behind the last batch: {"row", "worker", "workers", "stream"}. None at the stream's beginning."""
        if self._text is None:
            return self._state
        stream = json.loads(self._text)
        return {"row": stream["position"]["row"], **self._place, "stream": stream}

    def close(self) -> None:
        """Leaves: the feeder ends when all have."""
        self._ended = True
        self._say_bye()


# The feeder's side.


class _Link(asyncio.Protocol):
    """A reader, as the feeder sees it."""

    def __init__(self, feeder: "_Feeder") -> None:
        self._feeder = feeder
        self._heard = b""  # Of its first message.
        self._ready = 0  # Batches that it was told of and has not taken.
        self._changed = asyncio.Event()  # That number, or that it has left.
        self.rank: Optional[int] = None
        self.left = False
        self.closed = asyncio.Event()

    def __str__(self) -> str:
        return f"the reader of rank {self.rank}, worker {self.worker} (process {self.process})"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.rank is None:
            self._heard += data
            end = _HELLO.size + _HELLO.unpack_from(self._heard)[0] if len(self._heard) >= _HELLO.size else len(self._heard) + 1
            if len(self._heard) < end:
                return
            hello, data = json.loads(self._heard[_HELLO.size:end]), self._heard[end:]
            self.rank, self.worker, self.process, self.loader, self.start = (
                hello[key] for key in ("rank", "worker", "process", "loader", "start"))
            self._feeder.welcome(self, hello["job"])
            try:
                self._slots = SlotWriter(Memory.of(self.process, hello["memory"]), hello["job"]["batch_rows"])
            except OSError as failure:
                self._feeder.fail(f"millrace: the memory of {self} cannot be opened: {failure}; it ended, or the processes of this "
                                  "node do not see each other under /proc")
        self._ready -= data.count(_TAKEN)
        if _BYE in data:
            self._leave(True)
            self._transport.abort()
        self._changed.set()

    def connection_lost(self, error: Optional[Exception]) -> None:
        self._leave(False)
        self.closed.set()

    def _leave(self, with_a_word: bool) -> None:
        if not self.left:
            self.left = True
            self._changed.set()
            if self.rank is not None:
                self._feeder.miss(self, with_a_word)

    async def put(self, first_row: int, arrays: Sequence[numpy.ndarray], state: bytes) -> None:
        """Waits until it takes another batch, or has left."""
        while self._ready >= _READY and not self.left:
            self._changed.clear()
            await self._changed.wait()
        if not self.left:
            self._ready += 1
            offset = self._slots.write(first_row, arrays)
            self._transport.write(_HEADER.pack(first_row, offset, *arrays[0].shape, len(state)) + state)

    def tell(self, text: bytes) -> None:
        """An error, or, without one, the end."""
        if not self.left:
            self._transport.write(_HEADER.pack(0, 0, 0, 0, len(text)) + text)

    async def close(self) -> None:
        """Once it has all that it was told."""
        self._transport.close()
        await self.closed.wait()


def _first_worker(links: List[_Link], workers: int) -> Tuple[Optional[Dict[str, Any]], int]:
    """Where the readers go on, and which worker of each rank is first. A worker's state is behind the last batch that it gave;
    the one that gave the last batch of all is the furthest. Where all have the same, DataLoader begins with the first worker."""
    starts = [link.start for link in links if link.start is not None]
    if not starts:
        return None, 0
    furthest = max(starts, key=lambda start: start["row"])
    same = len(starts) == len(links) and all(start["row"] == furthest["row"] for start in starts)
    at_same_step = not same and furthest.get("workers") == workers
    return furthest["stream"], (furthest["worker"] + 1) % workers if at_same_step else 0


def _is_there(process: int) -> bool:
    """Whether a process has not ended yet."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class _Feeder:
    def __init__(self) -> None:
        self.job: Optional[Dict[str, Any]] = None
        self.links: Dict[Tuple[int, int], _Link] = {}
        self.all_here = asyncio.Event()
        self.over: "asyncio.Future[None]" = asyncio.get_running_loop().create_future()  # All have left, or something failed.
        self.judging: Set["asyncio.Future[None]"] = set()

    def fail(self, message: str) -> None:
        if not self.over.done():
            self.over.set_exception(FeederError(message))

    def welcome(self, link: _Link, job: Dict[str, Any]) -> None:
        assert link.rank is not None
        self.job = self.job or job
        key: Tuple[Any, ...] = (link.rank, link.worker)
        if job != self.job:
            changed = [name for name, value in self.job.items() if job[name] != value]
            self.fail(f"millrace: {link} wants another stream than the readers before it: {', '.join(changed)} differ")
        elif key in self.links:
            self.fail(f"millrace: {link} is there twice, as process {self.links[key].process}, too: each rank of a node has a "
                      "number of its own")
            key = (*key, link.process)
        self.links[key] = link
        if len(self.links) == self.job["local_world_size"] * self.job["workers"]:
            self.all_here.set()

    def miss(self, link: _Link, with_a_word: bool) -> None:
        """A reader has left, which none does before all are there, nor without a word, unless its loader ends."""
        if not with_a_word and link.loader is not None:
            self.judging.add(asyncio.ensure_future(self.judge(link, link.loader)))
        elif not with_a_word:
            self.fail(f"millrace: {link} crashed or was killed")
        elif not self.all_here.is_set():
            self.fail(f"millrace: {link} left before all readers were there")
        elif all(other.left for other in self.links.values()) and not self.over.done():
            self.over.set_result(None)

    async def judge(self, link: _Link, loader: int) -> None:
        """Whether a worker that ended without a word was ended by its loader's end."""
        until = time.monotonic() + _SECONDS_TO_END
        while _is_there(loader):
            if time.monotonic() > until:
                self.fail(f"millrace: {link} crashed or was killed")
                return
            await asyncio.sleep(0.05)
        self.miss(link, True)

    async def gather(self) -> None:
        """Waits for all readers."""
        started = time.monotonic()
        while not self.all_here.is_set():
            waited = time.monotonic() - started
            timeout = self.job["timeout"] if self.job else 60
            if waited > timeout:
                here = ", ".join(f"rank {rank} worker {worker}" for rank, worker in sorted(self.links)) or "nobody"
                raise FeederError(f"millrace: waited {waited:.0f} s for readers; here: {here}")
            try:
                await asyncio.wait_for(self.all_here.wait(), 0.2)
            except asyncio.TimeoutError:
                pass

    async def feed(self) -> None:
        """All steps, to all readers, as fast as they take them."""
        job, links = self.job, self.links
        assert job is not None
        start, first_worker = _first_worker(list(links.values()), job["workers"])
        ranks = sorted({link.rank for link in links.values()})
        each, step_rows = job["batch_rows"], job["batch_rows"] * job["world_size"]
        loop = asyncio.get_running_loop()
        stream = await loop.run_in_executor(None, lambda: Stream(
            job["run"], data=job["data"], sets=job["sets"], batch_rows=step_rows, threads=job["threads"], start=start))
        worker = first_worker
        while True:
            batch: Optional[Batch] = await loop.run_in_executor(None, lambda: next(stream, None))
            if batch is None or (len(batch) < step_rows and job["drop_last"]):
                break
            state = stream._core.state().encode()
            for rank in ranks:
                rows = slice(rank * each, min((rank + 1) * each, len(batch)))
                if rows.start < rows.stop:
                    await links[rank, worker].put(batch.first_row + rows.start, [array[rows] for _, array in batch.items()], state)
            worker = (worker + 1) % job["workers"]
        stream.close()
        for link in links.values():
            link.tell(b"")
        await self.over

    async def tell(self, error: BaseException) -> None:
        """All readers that are there, behind what is on its way to them."""
        kind = next((name for name, kind in (("ConfigError", ConfigError), ("DataError", DataError), ("OSError", OSError))
                     if isinstance(error, kind)), "FeederError")
        self.over.cancel()  # Who leaves from here on is not missed.
        here = [link for link in self.links.values() if not link.left]
        for link in here:
            link.tell(json.dumps({"error": kind, "message": str(error)}).encode())
        try:
            await asyncio.wait_for(asyncio.gather(*(link.close() for link in here)), 60)
        except asyncio.TimeoutError:
            pass

    async def work(self, listener: socket.socket) -> int:
        server = await asyncio.get_running_loop().create_unix_server(lambda: _Link(self), sock=listener)
        try:
            for step in (self.gather, self.feed):
                task = asyncio.ensure_future(step())
                await asyncio.wait({task, self.over}, return_when=asyncio.FIRST_COMPLETED)
                if self.over.done():
                    task.cancel()
                    self.over.result()
                    return 0
                task.result()
                server.close()  # All are here: a reader that comes now is another job's.
        except Exception as error:  # Whatever it is, the readers are told.
            print(error, file=sys.stderr, flush=True)
            await self.tell(error)
            return 1
        return 0


async def _main(listener: socket.socket) -> None:
    code = await _Feeder().work(listener)
    sys.stderr.flush()
    os._exit(code)  # Without waiting for a thread that makes rows which nobody wants.


if __name__ == "__main__":
    asyncio.run(_main(socket.socket(fileno=int(sys.argv[1]))))
