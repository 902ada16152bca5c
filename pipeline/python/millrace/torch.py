"""Millrace's rows as a PyTorch dataset, for one process or many."""

import hashlib
import json
import os
from typing import Any, Dict, Iterator, Optional, Sequence

import torch
from torch.utils.data import get_worker_info

from . import Path
from .feeder import FeederError, Job, Reader

__all__ = ["FeederError", "IterableDataset"]


def _of_launcher(name: str, given: Optional[int], fallback: int) -> int:
    return given if given is not None else int(os.environ.get(name, fallback))


class IterableDataset(torch.utils.data.IterableDataset):  # type: ignore[misc]
    """A rank's batches, each a dict of tensors: tokens, labels, segment_ids, positions (int32) and loss_weights (float32),
    all (batch_rows, T). For a DataLoader with batch_size=None, with or without workers, stateful or not:

        dataset = millrace.torch.IterableDataset("run.toml", data="data", batch_rows=8)
        for batch in DataLoader(dataset, batch_size=None):
            ...

    A step has world_size x batch_rows rows that follow each other in the stream; rank 0 gets the first batch_rows of them,
    rank 1 the next, and a rank's batches come in the stream's order, however many workers there are. One process a node makes
    the rows for all of its ranks and workers; it is started by the first of them, and ends with the last.

    rank, world_size, local_world_size: without them torchrun's RANK, WORLD_SIZE and LOCAL_WORLD_SIZE count, else there is
        one process, or all are on this node.
    batch_rows: rows of a rank's batch.
    drop_last: without the rows at the stream's end that are no whole step. If False the last batch of a rank may be smaller,
        and some ranks have a batch less.
    start: a state_dict(), or {"stream": a Stream's state()}. It may be one of any other rank and world_size, taken at the
        same step.
    group: tells jobs on one node apart. Without it: torchrun's TORCHELASTIC_RUN_ID and MASTER_PORT, and what is asked for.
    timeout: seconds in which all readers of a node must have come.
    data, threads, sets: as of Stream.
    """

    def __init__(self, run: Path, *, batch_rows: int, rank: Optional[int] = None, world_size: Optional[int] = None,
                 local_world_size: Optional[int] = None, data: Optional[Path] = None, threads: int = 0,
                 sets: Sequence[str] = (), start: Optional[Dict[str, Any]] = None, drop_last: bool = True,
                 group: Optional[str] = None, timeout: float = 600) -> None:
        super().__init__()
        self._rank = _of_launcher("RANK", rank, 0)
        world_size = _of_launcher("WORLD_SIZE", world_size, 1)
        local_world_size = _of_launcher("LOCAL_WORLD_SIZE", local_world_size, world_size)
        if not 0 <= self._rank < world_size:
            raise ValueError(f"rank is {self._rank}, expected 0 to {world_size - 1}: world_size is {world_size}")
        if batch_rows < 1:
            raise ValueError(f"batch_rows is {batch_rows}, expected at least 1")
        if not 1 <= local_world_size <= world_size:
            raise ValueError(f"local_world_size is {local_world_size}, expected 1 to {world_size}: world_size is {world_size}")
        self._job: Dict[str, Any] = {"run": os.fspath(run), "data": None if data is None else os.fspath(data), "sets": tuple(sets),
                     "batch_rows": batch_rows, "threads": threads, "world_size": world_size,
                     "local_world_size": local_world_size, "drop_last": drop_last, "timeout": timeout}
        self._group = group if group is not None else self._own_group()
        self._start: Optional[Dict[str, Any]] = None
        self._reader: Optional[Reader] = None
        if start is not None:
            self.load_state_dict(start)

    def _own_group(self) -> str:
        parts = [os.environ.get(name, "") for name in ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")]
        if not any(parts):
            if self._job["local_world_size"] > 1:
                raise ValueError("several ranks on this node have to find each other: start them with torchrun, set "
                                 "MASTER_PORT, or name their group with group=")
            parts.append(str(os.getpid()) + "-" + str(id(self)))
        digest = hashlib.sha256(json.dumps([os.getuid(), *parts, self._job]).encode()).hexdigest()
        return digest[:24]

    def __iter__(self) -> Iterator[Dict[str, "torch.Tensor"]]:
        """Goes on where the dataset stands: at the start, behind what load_state_dict() was given, or behind the last batch
        that an earlier iterator of this object gave."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        start = self.state_dict() or None
        if self._reader is not None:
            self._reader.close()
        self._reader = Reader(self._group, Job(**self._job, workers=workers), self._rank, worker, start)
        return ({name: torch.from_numpy(array) for name, array in batch.items()} for batch in self._reader)

    def state_dict(self) -> Dict[str, Any]:
        """Where the dataset stands: {"row", "stream", ...}, the same on all ranks at the same step; JSON, a few KB. Empty at
        the stream's beginning. With DataLoader's workers it is the worker's: torchdata's StatefulDataLoader collects them."""
        state = self._reader.state() if self._reader is not None else self._start
        return dict(state) if state is not None else {}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Goes on from a state_dict(), of whichever rank and world_size, or from {"stream": a Stream's state()}."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._start = None
        if state:
            if "stream" not in state:
                raise ValueError('expected a state_dict() of this class, or {"stream": a Stream\'s state()}')
            position = state["stream"].get("position", state["stream"])
            self._start = {"worker": 0, "workers": 0, **state, "row": position["row"]}
