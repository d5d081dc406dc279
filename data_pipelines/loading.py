"""Examples made ahead of time, in threads of this process or in isolated ones.

Both deliver the same examples in the order asked for. Processes are what real collections want:
they use all cores, and a decoder that hangs or crashes costs one example instead of the run.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias

import numpy as np

from data_pipelines.examples import Example, load_example, stand_in
from data_pipelines.isolation import IsolatedPool, Lost
from data_pipelines.slots import Slots, opened_slots
from data_pipelines.spec import InputSpec
from data_pipelines.text import load_tokenizer
from data_pipelines.video import Source

Arrays: TypeAlias = Mapping[str, np.ndarray]
"""The large arrays of one example, those that `InputSpec.arrays` names."""

THREADS = 4  # of a loader without processes: a video is mostly decoded outside the interpreter lock


@dataclasses.dataclass(frozen=True)
class Ticket:
    """One example to make.

    Attributes:
      index: which video, or `PADDING`.
      entropy: seeds what decides its clips and crops; each >= 0.
    """

    index: int
    entropy: tuple[int, ...]

    def rng(self) -> np.random.Generator:
        """A fresh generator: equal tickets draw equally."""
        return np.random.default_rng(self.entropy)


class Loader(Protocol):
    """Makes examples in the background. Every `submit` must be followed by one `take`."""

    def submit(self, ticket: Ticket) -> Future:
        """Starts making an example."""
        ...

    def take(self, ticket: Ticket, future: Future, out: Arrays) -> Example:
        """Waits for an example; writes its large arrays to `out` and returns its other fields."""
        ...

    def close(self) -> None:
        """Stops; examples under way are lost. Calling it twice is harmless."""
        ...


def worker_count(data: Any) -> int:
    """Returns how many processes the config section `data` asks for."""
    if data.workers is not None:
        return int(data.workers)
    return 0 if data.source == "moving_shapes" else len(os.sched_getaffinity(0))


def kill_after(data: Any) -> float:
    """Returns the seconds after which a process that reads one video is killed.

    Opening and decoding have `max_seconds` each, which the reader watches between frames; this is
    for a decoder that does not come back at all.
    """
    return 2 * data.max_seconds + 5


def create_loader(
    source: Source, spec: InputSpec, *, workers: int, ahead: int, timeout: float
) -> Loader:
    """Makes a loader.

    Args:
      source: the videos.
      spec: the clips wanted of each.
      workers: processes; 0 for threads of this process, which cannot be stopped when they hang.
      ahead: greatest number of examples submitted and not yet taken.
      timeout: seconds after which a process gives a video up.

    Raises:
      UserError: the tokenizer that `spec` names will not do.
    """
    if spec.text is not None:
        load_tokenizer(spec.text.tokenizer, spec.text.tokens)  # or it would fail in every process
    if workers:
        return _ProcessLoader(source, spec, workers, ahead, timeout)
    return _ThreadLoader(source, spec)


class _ThreadLoader:
    def __init__(self, source: Source, spec: InputSpec) -> None:
        self._source, self._spec = source, spec
        self._pool = ThreadPoolExecutor(THREADS)

    def submit(self, ticket: Ticket) -> Future:
        return self._pool.submit(load_example, self._source, self._spec, ticket.index, ticket.rng())

    def take(self, ticket: Ticket, future: Future, out: Arrays) -> Example:
        example = future.result()
        _move(example, out)
        return example

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class _ProcessLoader:
    """Large arrays come back through shared memory, one slot for every example ahead."""

    def __init__(
        self, source: Source, spec: InputSpec, workers: int, ahead: int, timeout: float
    ) -> None:
        self._source, self._spec = source, spec
        self._slots = Slots(spec, ahead)
        self._free = list(range(ahead))
        self._tasks: dict[Future, _Task] = {}
        self._pool = IsolatedPool(
            functools.partial(_load_into_slot, source, spec, self._slots.path, ahead),
            workers,
            timeout,
        )

    def submit(self, ticket: Ticket) -> Future:
        task = (ticket, self._free.pop())
        future = self._pool.submit(task)
        self._tasks[future] = task
        return future

    def take(self, ticket: Ticket, future: Future, out: Arrays) -> Example:
        task = self._tasks.pop(future)
        _, slot = task
        example = self._pool.result(task, future)
        if isinstance(example, Lost):
            example = stand_in(self._source, self._spec, ticket.index, example.reason)
            _move(example, out)
        else:
            for name, array in out.items():
                np.copyto(array, self._slots.arrays[name][slot])
        self._free.append(slot)
        return example

    def close(self) -> None:
        self._pool.close()
        self._slots.close()


_Task = tuple[Ticket, int]


def _move(example: Example, out: Arrays) -> None:
    for name, array in out.items():
        value = example.pop(name)
        if not np.may_share_memory(value, array):  # a video lies there already
            np.copyto(array, value)


def _load_into_slot(source: Source, spec: InputSpec, path: str, count: int, task: _Task) -> Example:
    """What a process does: makes an example, and leaves its large arrays in a slot."""
    ticket, slot = task
    out = {name: array[slot] for name, array in opened_slots(path, spec, count).items()}
    example = load_example(source, spec, ticket.index, ticket.rng(), out["video"])
    _move(example, out)
    return example
