"""A rank's rows and where they stand: what millrace.torch and millrace.jax have in common."""

import hashlib
import json
import os
from typing import Any, Dict, Optional, Sequence, Union

from . import Path, checkpoint_state
from .feeder import Job, Reader


class RankRows:
    """The batches of one of world_size ranks, local_world_size of which are on this node. Nothing is started before read().

    launcher: variables of the environment that are the same for all ranks of a job, and others for other jobs. Where none is
    set, ranks that share a node have to name a `group`. The other arguments are those of millrace.torch.IterableDataset.
    """

    def __init__(self, run: Path, *, batch_rows: int, rank: int, world_size: int, local_world_size: int, launcher: Sequence[str],
                 data: Optional[Path], threads: int, sets: Sequence[str], start: Union[Dict[str, Any], Path, None], drop_last: bool,
                 group: Optional[str], timeout: float) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank}, expected 0 to {world_size - 1}: world_size is {world_size}")
        if batch_rows < 1:
            raise ValueError(f"batch_rows is {batch_rows}, expected at least 1")
        if not 1 <= local_world_size <= world_size:
            raise ValueError(f"local_world_size is {local_world_size}, expected 1 to {world_size}: world_size is {world_size}")
        self.rank = rank
        self._job: Dict[str, Any] = {"run": os.fspath(run), "data": None if data is None else os.fspath(data), "sets": tuple(sets),
                     "batch_rows": batch_rows, "threads": threads, "world_size": world_size,
                     "local_world_size": local_world_size, "drop_last": drop_last, "timeout": timeout}
        self._group = group if group is not None else self._group_of(launcher)
        self._start: Optional[Dict[str, Any]] = None
        self._reader: Optional[Reader] = None
        if isinstance(start, (str, os.PathLike)):
            state = checkpoint_state(start)
            start = {"stream": state} if state is not None else None
        if start is not None:
            self.set_state(start)

    def _group_of(self, launcher: Sequence[str]) -> str:
        parts = [os.environ.get(name, "") for name in launcher]
        if not any(parts):
            if self._job["local_world_size"] > 1:
                raise ValueError(f"several ranks on this node have to find each other: set {' or '.join(launcher)}, as a launcher "
                                 "does, or name their group with group=")
            parts.append(str(os.getpid()) + "-" + str(id(self)))
        if self._job["local_world_size"] == 1:
            parts.append(str(self.rank))
        digest = hashlib.sha256(json.dumps([os.getuid(), *parts, self._job]).encode()).hexdigest()
        return digest[:24]

    def read(self, worker: int = 0, workers: int = 1, loader: Optional[int] = None) -> Reader:
        """The batches from where the rows stand on: at the start, behind what set_state() was given, or behind the last batch
        of the reader before, which ends. One of so many workers has its part of them; `loader` is the process that they work
        for, and end with."""
        start = self.state() or None
        if self._reader is not None:
            self._reader.close()
        self._reader = Reader(self._group, Job(**self._job, workers=workers), self.rank, worker, start, loader)
        return self._reader

    def state(self) -> Dict[str, Any]:
        """{"row", "stream", ...}, the same on all ranks at the same step; JSON, a few KB. Empty at the stream's beginning."""
        state = self._reader.state() if self._reader is not None else self._start
        return dict(state) if state is not None else {}

    def set_state(self, state: Dict[str, Any]) -> None:
        """Goes on from a state() of whichever rank and world_size, or from {"stream": a Stream's state()}."""
        start: Optional[Dict[str, Any]] = None
        if state:
            if "stream" not in state:
                raise ValueError('expected a state of such rows, or {"stream": a Stream\'s state()}')
            position = state["stream"].get("position", state["stream"])
            start = {"worker": 0, "workers": 0, **state, "row": position["row"]}
        self.close()
        self._start = start

    def close(self) -> None:
        """Leaves the feeder, which ends when all have. The rows stay where they are."""
        if self._reader is not None:
            self._start = self._reader.state()
            self._reader.close()
            self._reader = None
