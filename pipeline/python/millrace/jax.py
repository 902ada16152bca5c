"""Millrace's rows as an iterator like Grain's, for JAX, in one process or many. Needs neither; numpy arrays are JAX's, too."""

from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Sequence, Tuple, Union

import numpy

from . import Path
from .feeder import Reader
from .memory import FeederError
from .ranks import RankRows

__all__ = ["DatasetIterator", "FeederError"]

if TYPE_CHECKING:
    _Iterator = Iterator[Dict[str, Any]]
else:
    try:
        from grain import DatasetIterator as _Iterator  # So that Grain's and Orbax's checkpoints take it.
    except ImportError:
        _Iterator = Iterator


def _place(rank: Optional[int], world_size: Optional[int]) -> Tuple[int, int]:
    """What is not given is JAX's process_index() and process_count(); without JAX there is one process."""
    if rank is None or world_size is None:
        try:
            import jax
        except ImportError:
            return rank or 0, world_size or 1
        rank = jax.process_index() if rank is None else rank
        world_size = jax.process_count() if world_size is None else world_size
    return rank, world_size


class DatasetIterator(_Iterator):
    """A process's batches, each a dict of arrays: tokens, labels, segment_ids, positions (int32) and loss_weights (float32),
    all (batch_rows, T). An iterator as Grain's DatasetIterator, and one of its kind where Grain is installed.

    >>> iterator = millrace.jax.DatasetIterator("run.toml", data="data", batch_rows=8)
    >>> batch = next(iterator)
    >>> batch["tokens"].shape
    (8, 64)
    >>> state = iterator.get_state()                    # JSON, a few KB
    >>> iterator.set_state(state)

    A step has world_size x batch_rows rows that follow each other in the stream; process 0 gets the first batch_rows of them,
    process 1 the next. One process a node makes the rows for all of its processes.

    rank, world_size: without them jax.process_index() and jax.process_count().
    local_world_size: how many of the processes are on this node, which have to be named one `group` (or have the same
        JAX_COORDINATOR_ADDRESS). JAX does not tell.
    arrays: "numpy", or "jax": arrays of JAX on the processor, by DLPack, without a copy where JAX takes their memory.
    batch_rows, drop_last, start, group, timeout, data, threads, sets: as of millrace.torch.IterableDataset.
    """

    _rows: Any = None  # Grain closes what could not be made, too.

    def __init__(self, run: Path, *, batch_rows: int, rank: Optional[int] = None, world_size: Optional[int] = None,
                 local_world_size: int = 1, arrays: str = "numpy", data: Optional[Path] = None, threads: int = 0,
                 sets: Sequence[str] = (), start: Union[Dict[str, Any], Path, None] = None, drop_last: bool = True,
                 group: Optional[str] = None, timeout: float = 600) -> None:
        super().__init__()
        if arrays not in ("numpy", "jax"):
            raise ValueError(f'arrays is "{arrays}", expected "numpy" or "jax"')
        rank, world_size = _place(rank, world_size)
        self._arrays = arrays
        self._left = False
        self._reader: Optional[Reader] = None
        self._rows = RankRows(run, batch_rows=batch_rows, rank=rank, world_size=world_size, local_world_size=local_world_size,
                              launcher=("JAX_COORDINATOR_ADDRESS",), data=data, threads=threads, sets=sets, start=start,
                              drop_last=drop_last, group=group, timeout=timeout)

    def __iter__(self) -> "DatasetIterator":
        return self

    def __next__(self) -> Dict[str, Any]:
        self.start_prefetch()
        assert self._reader is not None
        batch = next(self._reader)
        return {name: self._array(array) for name, array in batch.items()}

    def _array(self, array: numpy.ndarray) -> Any:
        if self._arrays == "numpy":
            return array
        import jax

        return jax.dlpack.from_dlpack(array)

    def get_state(self) -> Dict[str, Any]:
        """Behind the last batch: the same in all processes at the same step; JSON, a few KB. Empty at the stream's beginning."""
        return self._rows.state()

    def set_state(self, state: Dict[str, Any]) -> None:
        """Goes on from a get_state(), of whichever rank and world_size, or from {"stream": a Stream's state()}."""
        self._rows.set_state(state)
        self._reader = None

    def start_prefetch(self) -> None:
        """Begins to make rows, if that was not done: the first batch is ready earlier."""
        if self._left:
            raise ValueError("this millrace.jax.DatasetIterator is closed")
        if self._reader is None:
            self._reader = self._rows.read()

    def close(self) -> None:
        """Leaves: the process that makes the rows ends when all have."""
        self._left = True
        if self._rows is not None:
            self._rows.close()
