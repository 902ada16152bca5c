"""Millrace's rows as a PyTorch dataset, for one process or many."""

import os
from multiprocessing import parent_process
from multiprocessing.reduction import ForkingPickler
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import torch
from torch.utils.data import get_worker_info

from . import Path
from .feeder import FedBatch
from .memory import FeederError, Slot, borrow
from .ranks import RankRows

__all__ = ["FeederError", "IterableDataset"]


def _of_launcher(name: str, given: Optional[int], fallback: int) -> int:
    return given if given is not None else int(os.environ.get(name, fallback))


def _tensors(batch: FedBatch) -> Dict[str, "torch.Tensor"]:
    return {name: torch.from_numpy(array) for name, array in batch.items()}


class _SlotTensors(Dict[str, "torch.Tensor"]):
    """A worker's batch, where the feeder put it. As long as it is that, what goes to the worker's loader is the slot's number: for
    each tensor that goes, PyTorch makes shared memory, and has the loader ask the worker for a file descriptor."""

    def __init__(self, slot: Slot, tensors: Dict[str, "torch.Tensor"], places: List[Any]) -> None:
        super().__init__(tensors)
        self.slot, self.places = slot, places

    def __copy__(self) -> "_SlotTensors":
        return _SlotTensors(self.slot, self, self.places)

    def __reduce__(self) -> Tuple[Any, ...]:  # Anything else than a loader takes the tensors.
        return dict, (dict(self),)


def _places(tensors: Dict[str, Any]) -> List[Any]:
    return [(name, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if isinstance(tensor, torch.Tensor) else name
            for name, tensor in tensors.items()]


def _lendable(slot: Slot) -> _SlotTensors:
    tensors = _tensors(FedBatch(slot.first_row, slot.view()))
    return _SlotTensors(slot, tensors, _places(tensors))


def _borrowed(*place: int) -> Dict[str, "torch.Tensor"]:
    slot = borrow(*place)
    return _tensors(FedBatch(slot.first_row, slot.read()))


def _hand_over(batch: _SlotTensors) -> Tuple[Any, ...]:
    if batch.slot.lent or _places(batch) != batch.places:
        return batch.__reduce__()
    return _borrowed, batch.slot.lend()


ForkingPickler.register(_SlotTensors, _hand_over)


class IterableDataset(torch.utils.data.IterableDataset):  # type: ignore[misc]
    """A rank's batches, each a dict of tensors: tokens, labels, segment_ids, positions (int32) and loss_weights (float32),
    all (batch_rows, T). For a DataLoader with batch_size=None, with or without workers, stateful or not:

    >>> dataset = millrace.torch.IterableDataset("run.toml", data="data", batch_rows=8)
    >>> for batch in DataLoader(dataset, batch_size=None):
    ...     loss = train_on(batch["tokens"], batch["labels"], batch["loss_weights"])

    A step has world_size x batch_rows rows that follow each other in the stream; rank 0 gets the first batch_rows of them,
    rank 1 the next, and a rank's batches come in the stream's order, however many workers there are. One process a node makes
    the rows for all of its ranks and workers; it is started by the first of them, and ends with the last.

    rank, world_size, local_world_size: without them torchrun's RANK, WORLD_SIZE and LOCAL_WORLD_SIZE count, else there is
        one process, or all are on this node.
    batch_rows: rows of a rank's batch.
    drop_last: without the rows at the stream's end that are no whole step. If False the last batch of a rank may be smaller,
        and some ranks have a batch less.
    start: a state_dict(), or {"stream": a Stream's state()}. It may be one of any other rank and world_size, taken at the
        same step. Or the path of a checkpoint or run folder, as of Stream.
    group: tells jobs on one node apart. Without it: torchrun's TORCHELASTIC_RUN_ID and MASTER_PORT, and what is asked for.
    timeout: seconds in which all readers of a node must have come.
    data, threads, sets: as of Stream.
    """

    def __init__(self, run: Path, *, batch_rows: int, rank: Optional[int] = None, world_size: Optional[int] = None,
                 local_world_size: Optional[int] = None, data: Optional[Path] = None, threads: int = 0,
                 sets: Sequence[str] = (), start: Union[Dict[str, Any], Path, None] = None, drop_last: bool = True,
                 group: Optional[str] = None, timeout: float = 600) -> None:
        super().__init__()
        world_size = _of_launcher("WORLD_SIZE", world_size, 1)
        self._rows = RankRows(run, batch_rows=batch_rows, rank=_of_launcher("RANK", rank, 0), world_size=world_size,
                              local_world_size=_of_launcher("LOCAL_WORLD_SIZE", local_world_size, world_size),
                              launcher=("MASTER_PORT", "MASTER_ADDR", "TORCHELASTIC_RUN_ID"), data=data, threads=threads, sets=sets,
                              start=start, drop_last=drop_last, group=group, timeout=timeout)

    def __iter__(self) -> Iterator[Dict[str, "torch.Tensor"]]:
        """Goes on where the dataset stands: at the start, behind what load_state_dict() was given, or behind the last batch
        that an earlier iterator of this object gave."""
        info = get_worker_info()
        if info is None:
            return (_tensors(batch) for batch in self._rows.read())
        loader = parent_process()
        reader = self._rows.read(info.id, info.num_workers, loader.pid if loader is not None else None)
        slots = iter(reader.next_slot, None)
        return map(_lendable, slots)

    def state_dict(self) -> Dict[str, Any]:
        """Where the dataset stands: {"row", "stream", ...}, the same on all ranks at the same step; JSON, a few KB. Empty at
        the stream's beginning. With DataLoader's workers it is the worker's: torchdata's StatefulDataLoader collects them."""
        return self._rows.state()

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Goes on from a state_dict(), of whichever rank and world_size, or from {"stream": a Stream's state()}."""
        self._rows.set_state(state)
