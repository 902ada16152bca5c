"""Millrace's rows for anyone's trainer.

A run file says which shards are read, in which shares, with which objective; its stream of rows is a pure function of
that file, the shards' bytes, the vocabulary and the seed. This module hands the rows out as numpy arrays:

>>> import millrace
>>> stream = millrace.Stream("run.toml", data="data")
>>> for batch in stream:
...     loss = train_on(batch.tokens, batch.labels, batch.loss_weights)   # each (rows, T)

Rows do not depend on threads, nor on where a stream was stopped and went on:

>>> state = stream.state()                               # a dict of JSON, a few KB
>>> stream = millrace.Stream("run.toml", data="data", start=state)

Errors are ConfigError (a ValueError), DataError (a RuntimeError) and OSError, with the messages of the program.
"""

import dataclasses
import json
import os
import pathlib
import sys
import warnings
from typing import Any, Dict, Iterator, List, Literal, Optional, Sequence, Tuple, Union, overload

import numpy

from . import _core
from ._core import ConfigError, DataError, __version__

__all__ = ["Batch", "ConfigError", "DataError", "Row", "Rows", "Stream", "Tokenizer", "mix_check", "mix_plan"]

Path = Union[str, "os.PathLike[str]"]

ARRAYS = ("tokens", "labels", "loss_weights", "segment_ids", "positions")
"""The arrays of a batch or a row, in their order."""


def _bytes(path: Path) -> bytes:
    return os.fsencode(os.fspath(path))


def _data(data: Optional[Path]) -> bytes:
    return _bytes(os.environ.get("MILLRACE_DATA", "") if data is None else data)


def checkpoint_state(path: Path) -> Optional[Dict[str, Any]]:
    """Where a run that was trained stood, as a state for `start=`: at a checkpoint, or at the newest one of a run folder. None:
    before its first row."""
    folder = pathlib.Path(os.fspath(path))
    file = folder / "state.json"
    if (folder / "checkpoints").is_dir():
        steps = [step for step in folder.glob("checkpoints/step-*/state.json") if step.parent.name[len("step-"):].isdigit()]
        if not steps:
            raise ConfigError(f"{folder}: the run folder has no checkpoint yet")
        file = max(steps, key=lambda step: int(step.parent.name[len("step-"):]))
    elif not file.is_file():
        raise ConfigError(f"{folder}: expected a checkpoint, with state.json, or a run folder, with checkpoints")
    try:
        state = _object(file.read_text(encoding="utf-8"))
        if state["position"] is None:
            return None
        return {"stream_version": state["run"]["stream_version"], "vocabulary": state["run"]["vocabulary_hash"],
                "position": state["position"], "ledger": state["ledger"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: damaged, or of no training run: {error!r}; take another checkpoint") from None


def _object(text: str) -> Dict[str, Any]:
    value: Dict[str, Any] = json.loads(text)
    return value


def _objects(text: str) -> List[Dict[str, Any]]:
    value: List[Dict[str, Any]] = json.loads(text)
    return value


class Batch:
    """Rows that follow each other. The arrays are this batch's own, C-contiguous and writable: `torch.from_dlpack` and
    `jax.dlpack.from_dlpack` take them without a copy."""

    tokens: numpy.ndarray  #: int32 (rows, T). What the model reads.
    labels: numpy.ndarray  #: int32 (rows, T). What it should predict at each position.
    loss_weights: numpy.ndarray  #: float32 (rows, T). 1 where the loss counts, else 0.
    segment_ids: numpy.ndarray  #: int32 (rows, T). 1, 2, ...: attention stays within a segment; 0 on padding.
    positions: numpy.ndarray  #: int32 (rows, T). Position ids, as for RoPE.

    _origins: _core.BatchOrigins

    __slots__ = (*ARRAYS, "_origins")

    def __init__(self, parts: Tuple[Any, ...]) -> None:
        self.tokens, self.labels, self.loss_weights, self.segment_ids, self.positions, self._origins = parts

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        rows, length = self.tokens.shape
        return f"<millrace.Batch: {rows} rows of {length} positions, from row {self.first_row}>"

    @property
    def first_row(self) -> int:
        """The number of the batch's first row in the stream."""
        return self._origins.first_row()

    @property
    def row_numbers(self) -> List[int]:
        """The number of each row in the stream."""
        return self._origins.row_numbers()

    def items(self) -> Iterator[Tuple[str, numpy.ndarray]]:
        """The arrays by their names, as `{name: torch.from_dlpack(array) for name, array in batch.items()}` wants."""
        return ((name, getattr(self, name)) for name in ARRAYS)

    def provenance(self, row: int) -> List[Dict[str, Any]]:
        """Where a row of this batch, counted from 0, came from: a dict for each of its examples, in order.

        `corpus`, `denoiser`, `phase` (from 0), `example` (its number in the stream); `documents`: a list of `shard`,
        `record`, `epoch` and which of the document's ids were taken (`from`, `to`); `first`, `inputs`, `targets`: where
        in the row it begins and how many positions it has; `raw_tokens`, `loss_tokens`, `trimmed_tokens`.
        """
        rows = len(self)
        if not -rows <= row < rows:
            raise IndexError(f"this batch has {rows} rows: there is no row {row}")
        return _objects(self._origins.examples(row % rows))

    def rejects(self) -> List[Dict[str, Any]]:
        """Records that could not be read and were passed over on the way to these rows, as rejects.jsonl has them, with
        their corpus."""
        return _objects(self._origins.rejects())


@dataclasses.dataclass(frozen=True)
class Row:
    """One row; arrays as a batch's, of T elements each."""

    number: int
    tokens: numpy.ndarray
    labels: numpy.ndarray
    loss_weights: numpy.ndarray
    segment_ids: numpy.ndarray
    positions: numpy.ndarray
    provenance: List[Dict[str, Any]]  #: As Batch.provenance().


class Stream:
    """The rows of a run, in order, made ahead of need on threads of their own; an iterator of Batch.

    run: a run file, or the folder of a run that was trained, whose shards have to be those that it was trained on. What it
        says of the model and of training is not read, but for `[train] batch_rows` and `tokens`.
    data: where the mixes' relative shard patterns start; without it the environment's MILLRACE_DATA, or as the run says.
    batch_rows: rows of a batch; without it the run's `[train] batch_rows`. The last batch may have fewer.
    start: a state(); or the path of a checkpoint, or of a run folder: its newest checkpoint; or a position that the program
        wrote (a line of a run folder's positions.jsonl, as a dict). Without it the stream's beginning. A state of another
        stream is refused with what differs; phases that are still to come may have been changed.
    threads: threads that make rows; 0: all cores. The rows do not depend on it.
    sets: keys of the run file that are replaced, as "seed=4" or "phase.0.objective.inputs=128".

    >>> with millrace.Stream("run.toml", data="data", batch_rows=8, sets=["seed=4"]) as stream:
    ...     batch = next(stream)
    >>> batch
    <millrace.Batch: 8 rows of 64 positions, from row 0>
    >>> batch.tokens.dtype, batch.loss_weights.shape
    (dtype('int32'), (8, 64))
    >>> batch.provenance(0)[0]["documents"][0]["shard"]
    '....jsonl'

    Ctrl-C ends a wait at once, and the stream can go on afterwards. Python's lock is free while rows are made. Records
    that cannot be read are told to the logger "millrace". One thread at a time uses a Stream; close() is for any. A
    forked child cannot use the Stream of its parent, nor make one of its own once the parent has: use the start method
    spawn.
    """

    def __init__(self, run: Path, *, data: Optional[Path] = None, batch_rows: Optional[int] = None,
                 start: Union[Dict[str, Any], Path, None] = None, threads: int = 0, sets: Sequence[str] = ()) -> None:
        if batch_rows is not None and batch_rows < 1:
            raise ValueError(f"batch_rows is {batch_rows}, expected at least 1")
        if threads < 0:
            raise ValueError(f"threads is {threads}, expected at least 1, or 0 for all cores")
        if isinstance(start, (str, os.PathLike)):
            start = checkpoint_state(start)
        self._core = _core.Stream(_bytes(run), _data(data), list(sets), None if start is None else json.dumps(start),
                                  batch_rows or 0, threads)

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Batch:
        """The next batch. Raises DataError where the stream cannot go on, StopIteration at its end."""
        parts = self._core.next()
        if parts is None:
            raise StopIteration
        return Batch(parts)

    def state(self) -> Dict[str, Any]:
        """Where the stream stands behind the last batch handed out: a dict of JSON, a few KB, for `start=`."""
        return _object(self._core.state())

    def ledger(self) -> Dict[str, Any]:
        """What was handed out since the stream's beginning: rows, positions, raw, loss and trimmed tokens, and `entries`
        with documents, examples and tokens of each phase, corpus and denoiser."""
        return _object(self._core.ledger())

    def close(self) -> None:
        """Ends the threads' work. What waits in another thread is woken. `with` does it, and so does `del`."""
        self._core.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def row(self) -> int:
        """The number of the next row."""
        return self._core.row()

    @property
    def rows(self) -> int:
        """Rows of the whole stream, unless a corpus with `at_end = "stop"` ends it before."""
        return self._core.rows()

    @property
    def batch_rows(self) -> int:
        """Rows of a batch."""
        return self._core.batch_rows()

    @property
    def sequence_length(self) -> int:
        """T: positions of a row."""
        return self._core.sequence_length()

    @property
    def vocabulary_size(self) -> int:
        """Every id is below: the vocabulary's pieces and 300 sentinels."""
        return self._core.vocabulary_size()

    @property
    def pad(self) -> int:
        """The id on padding, and at the beginning of a segment."""
        return self._core.pad()

    @property
    def eos(self) -> int:
        return self._core.eos()


class Rows:
    """Any row at any time of a folder that `millrace preprocess --format rows` wrote.

    `rows[7]` is a Row, `rows[-1]` the last one, `rows[10:20]` and `rows.batch([3, 1])` are a Batch. It serves as a
    map-style dataset: it can be pickled, and forked children read on by themselves. A damaged row raises DataError.

    >>> rows = millrace.Rows("rows")
    >>> rows[7].tokens.shape, rows[-1].number == len(rows) - 1
    ((64,), True)
    >>> rows.batch([3, 1]).row_numbers
    [3, 1]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = os.fspath(folder)
        self._core = _core.Rows(_bytes(folder))

    def __reduce__(self) -> Tuple[Any, ...]:
        return Rows, (self.folder,)

    def __len__(self) -> int:
        return len(self._core)

    def __iter__(self) -> Iterator[Row]:
        return (self[number] for number in range(len(self)))

    @overload
    def __getitem__(self, which: int) -> Row: ...
    @overload
    def __getitem__(self, which: slice) -> Batch: ...

    def __getitem__(self, which: Union[int, slice]) -> Union[Row, Batch]:
        if isinstance(which, slice):
            return self.batch(range(len(self))[which])
        number = which + len(self) if which < 0 else which
        if not 0 <= number < len(self):
            raise IndexError(f"{self.folder}: holds {len(self)} rows: there is no row {which}")
        batch = self.batch([number])
        return Row(number=number, provenance=batch.provenance(0), **{name: array[0] for name, array in batch.items()})

    def batch(self, numbers: Sequence[int]) -> Batch:
        """These rows, in this order. At least one."""
        if len(numbers) == 0:
            raise ValueError(f"{self.folder}: no row is asked for, expected at least one")
        return Batch(self._core.batch(numbers))

    @property
    def sequence_length(self) -> int:
        """T: positions of a row."""
        return self._core.sequence_length()

    def about(self) -> Dict[str, Any]:
        """Which run and vocabulary they are of: `run`, `stream_version`, `vocabulary` (its hash), `tokenizer` (its file),
        `vocabulary_size`, `stream_ended`, `corpora`."""
        return _object(self._core.about())


def _warn_of_newer_sentencepiece() -> None:
    version = str(getattr(sys.modules.get("sentencepiece"), "__version__", ""))
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers > (0, 2, 1):
        warnings.warn(f"sentencepiece {version} is imported: where two ways to write a text have the same score it takes another "
                      "one than millrace, which gives the ids of sentencepiece 0.1.97 to 0.2.1", stacklevel=3)


class Tokenizer:
    """A SentencePiece vocabulary: ids are exactly libsentencepiece's (0.1.97 to 0.2.1; from 0.2.2 on that library breaks
    ties otherwise, and a UserWarning says so where a newer one is imported beside this).

    `len(tokenizer)` counts the model's pieces and the 300 sentinels behind them. No bos or eos is added.

    >>> tokenizer = millrace.Tokenizer("vocab.model")
    >>> ids, offsets, spans = tokenizer.encode_batch(["the mill", "stone"], spans=True)
    >>> [tokenizer.piece(id) for id in ids]
    ['\u2581the', '\u2581mill', '\u2581stone']
    >>> offsets.tolist(), spans.tolist()
    ([0, 2, 3], [[0, 3], [3, 8], [0, 5]])
    >>> tokenizer.decode(ids[:2])
    'the mill'
    """

    def __init__(self, model: Path) -> None:
        self.model = os.fspath(model)
        self._core = _core.Vocabulary(_bytes(model))
        self._spans: Optional[_core.PieceSpans] = None  # Of libsentencepiece, once they are asked for.
        _warn_of_newer_sentencepiece()

    def __reduce__(self) -> Tuple[Any, ...]:
        return Tokenizer, (self.model,)

    def __len__(self) -> int:
        return self._core.size()

    def encode(self, text: str) -> numpy.ndarray:
        """The ids of a text: int32 (n)."""
        return self._core.encode(text)

    @overload
    def encode_batch(self, texts: Sequence[str], threads: int = ..., *,
                     spans: Literal[False] = ...) -> Tuple[numpy.ndarray, numpy.ndarray]: ...
    @overload
    def encode_batch(self, texts: Sequence[str], threads: int = ..., *,
                     spans: Literal[True]) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]: ...

    def encode_batch(self, texts: Sequence[str], threads: int = 0, *, spans: bool = False) -> Tuple[numpy.ndarray, ...]:
        """The ids of many texts, on so many threads (0: all cores): `ids`, int32, and `offsets`, int64 (texts + 1). Those
        of text i are `ids[offsets[i]:offsets[i + 1]]`.

        With spans=True there is a third array, int64 (ids, 2): the characters [begin, end) of its text that each id stands
        for, as Hugging Face's offset mapping. A piece has the blank that it begins with; the blank that the model puts in front
        of a text has no characters; each byte piece of a character has that character. This takes some ten times as long.
        """
        if threads < 0:
            raise ValueError(f"threads is {threads}, expected at least 1, or 0 for all cores")
        if isinstance(texts, str):
            raise TypeError("expected a sequence of texts, found one str")
        if spans and self._spans is None:
            self._spans = _core.PieceSpans(_bytes(self.model))
        return self._core.encode_batch(texts, threads, self._spans if spans else None)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids. Sentinels appear as <extra_id_0>, pad and eos not at all."""
        return self._core.decode(ids)

    def piece(self, id: int) -> str:
        """An id's piece: "\u2581the", "<0x0A>", "<extra_id_0>"."""
        return self._core.piece(id)

    def sentinel(self, number: int) -> int:
        """The id of <extra_id_0>, <extra_id_1>, ... <extra_id_299>."""
        if not 0 <= number < 300:
            raise IndexError(f"there is no sentinel {number}: they are 0 to 299")
        return self._core.sentinel(number)

    @property
    def slow_because(self) -> str:
        """Why libsentencepiece itself encodes, some ten times as slowly; empty: Millrace's own encoder does."""
        return self._core.slow_because()

    @property
    def pieces(self) -> int:
        """Entries of the model file."""
        return self._core.pieces()

    @property
    def embedding_rows(self) -> int:
        """len() rounded up to a multiple of 128: the rows of a model's embedding."""
        return self._core.embedding_rows()

    @property
    def pad(self) -> int:
        return self._core.pad()

    @property
    def eos(self) -> int:
        return self._core.eos()

    @property
    def hash(self) -> str:
        """16 hex digits of the file's content: two runs agree on ids if and only if they agree on this."""
        return self._core.hash()


def mix_plan(run: Path, *, data: Optional[Path] = None, tokens: float = 0, vocab: Optional[Path] = None,
             sets: Sequence[str] = ()) -> Dict[str, Any]:
    """What a run or a mix takes from each corpus up to a horizon: `millrace mix plan --json` as a dict, without
    `parameters` and `memory`, which are about a model.

    run: a run file or a mix file. tokens: the horizon in positions; 0: the run's own end. With `data` the shards are
    looked for and, given a vocabulary (`vocab`, or the run's), their tokens counted or estimated.

    >>> plan = millrace.mix_plan("run.toml", tokens=1e6, sets=["phase.1.until=1e6"])
    >>> [(corpus["name"], corpus["share"]) for corpus in plan["corpora"]]
    [('prose', 0.7), ('code', 0.3)]
    """
    if tokens != int(tokens) or not 0 <= tokens <= 9e18:
        raise ValueError(f"tokens is {tokens}, expected a whole number from 0 to 9e18")
    return _object(_core.mix_plan(_bytes(run), _data(data), list(sets), int(tokens), _bytes(vocab or "")))


def mix_check(run: Path, *, data: Optional[Path] = None, tokens: float = 0, vocab: Optional[Path] = None,
              sets: Sequence[str] = ()) -> Dict[str, Any]:
    """Checks a run or a mix: raises ConfigError with file, line and column of what is wrong, else as mix_plan()."""
    return mix_plan(run, data=data, tokens=tokens, vocab=vocab, sets=sets)
