"""Batches: the same ones, in the same order, for any number of workers and hosts."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from data_pipelines.examples import PADDING
from data_pipelines.loading import Loader, Ticket, create_loader
from data_pipelines.order import LastBatch, TrainOrder
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source

Batch = dict[str, np.ndarray]

log = logging.getLogger(__name__)

TIMEOUT_S = 120.0
"""How long a worker process may take for one video by default."""

_AHEAD_BYTES = 2**30  # of clips and their sound that processes may have ready


class TrainBatches:
    """Endless shuffled batches whose position can be saved and restored.

    The order is that of `TrainOrder`. Reading runs ahead by about two batches.

    Args:
      source: the videos.
      spec: the clips wanted of each.
      batch_size: examples of the global batch, over all hosts.
      seed: fixes order, clips and crops together with the position in the stream.
      last_batch: whether the last videos of an epoch, too few for a batch, are left out ("drop")
        or get one that is filled up as in `evaluation_batches` ("pad").
      workers: worker processes; 0 reads in threads of this process.
      host: (index, count) of this process; it gets the index-th of count equal runs of each batch,
        so that the parts of all hosts, one after the other, are the batch.
      timeout: seconds after which a worker gives a video up; it then counts as unreadable.

    Raises:
      UserError: there are fewer videos than a batch needs, or hosts do not divide the batch.
    """

    def __init__(
        self,
        source: Source,
        spec: InputSpec,
        *,
        batch_size: int,
        seed: int,
        last_batch: LastBatch = "drop",
        workers: int = 0,
        host: tuple[int, int] = (0, 1),
        timeout: float = TIMEOUT_S,
    ) -> None:
        self._order = TrainOrder(source, batch_size, seed, host, last_batch)
        self._spec = spec
        ahead = _examples_ahead(spec, self._order.rows, workers)
        self._reader = _Reader(
            create_loader(source, spec, workers=workers, ahead=ahead, timeout=timeout), spec, ahead
        )
        self._assembler = ThreadPoolExecutor(1)
        self._done = 0  # batches handed out
        self._next: Future | None = None

    def __next__(self) -> Batch:
        if self._next is None:
            began = time.monotonic()
            self._reader.start(self._order.tickets(self._done))
            self._next = self._assemble()
            _note_absence(self._next.result())
            log.info("first batch after %.1f s", time.monotonic() - began)
        batch = self._next.result()
        self._done += 1
        self._next = self._assemble()
        return batch

    def __iter__(self) -> Iterator[Batch]:
        return self

    def get_state(self) -> dict[str, Any]:
        """The position in the stream: the same JSON-like dict for any workers and hosts."""
        return {"next_example": self._done * self._order.batch_size}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to a position that `get_state` returned."""
        if self._next is not None:
            self._next.result()
            self._next = None
        self._done = int(state["next_example"]) // self._order.batch_size

    def close(self) -> None:
        """Stops threads and worker processes. Calling it twice is harmless."""
        self._assembler.shutdown()
        self._reader.close()

    def _assemble(self) -> Future:
        return self._assembler.submit(self._reader.batch, self._order.rows)


def evaluation_batches(
    source: Source,
    spec: InputSpec,
    *,
    batch_size: int,
    workers: int = 0,
    timeout: float = TIMEOUT_S,
    first: int = 0,
    host: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Yields every video from `first` on once, in order; `PADDING` fills up the last batch.

    It has `valid` False, `index` -1 and an empty `error`, which tells it from an unreadable video.

    Args:
      source: the videos.
      spec: the views of each.
      batch_size: videos of a batch over all hosts; rounded up to what the hosts divide.
      workers: worker processes; 0 reads in threads of this process.
      timeout: seconds after which a worker gives a video up.
      first: index of the first video.
      host: (index, count) of this process; of each batch it gets the index-th of count equal runs.
    """
    number, hosts = host
    share = -(-batch_size // hosts)  # of each host
    batch_size = share * hosts
    ahead = _examples_ahead(spec, share, workers)
    reader = _Reader(
        create_loader(source, spec, workers=workers, ahead=ahead, timeout=timeout), spec, ahead
    )
    batches = -(-(len(source) - first) // batch_size)
    # Evenly spaced clips need no randomness; where a spec draws, an evaluation draws the same.
    starts = range(first + number * share, first + batches * batch_size, batch_size)
    rows = (row for start in starts for row in range(start, start + share))
    reader.start(Ticket(row if row < len(source) else PADDING, (row,)) for row in rows)
    try:
        for _ in range(batches):
            yield reader.batch(share)
    finally:
        reader.close()


class _Reader:
    """Takes examples from a loader in the order of their tickets, and stacks them."""

    def __init__(self, loader: Loader, spec: InputSpec, ahead: int) -> None:
        self._loader, self._ahead = loader, ahead
        self._arrays = spec.arrays
        self._tickets: Iterator[Ticket] = iter(())
        self._submitted: deque[tuple[Ticket, Future]] = deque()

    def start(self, tickets: Iterator[Ticket]) -> None:
        """Begins with the first of `tickets`; forgets what was submitted before."""
        self._tickets = iter(())
        if self._submitted:
            self.batch(len(self._submitted))
        self._tickets = iter(tickets)
        self._submit()

    def batch(self, rows: int) -> Batch:
        """Returns the next `rows` examples as one batch."""
        large = {
            name: np.empty((rows, *shape), kind) for name, (shape, kind) in self._arrays.items()
        }
        others = []
        for row in range(rows):
            ticket, future = self._submitted.popleft()
            out = {name: array[row] for name, array in large.items()}
            others.append(self._loader.take(ticket, future, out))
            self._submit()
        return large | {key: np.stack([e[key] for e in others]) for key in others[0]}

    def close(self) -> None:
        self._loader.close()

    def _submit(self) -> None:
        for ticket in itertools.islice(self._tickets, self._ahead - len(self._submitted)):
            self._submitted.append((ticket, self._loader.submit(ticket)))


def _examples_ahead(spec: InputSpec, rows: int, workers: int) -> int:
    size = sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in spec.arrays.values())
    return max(2 * workers, min(2 * rows, _AHEAD_BYTES // size), 1)


def _note_absence(batch: Batch) -> None:
    """Warns where a modality is asked for and none of a batch has it: nothing would be learned."""
    for name, key in (("sound", "audio_valid"), ("a sentence", "text")):
        if key in batch and not batch[key].any():
            log.warning("none of the %d first videos has %s", len(batch["index"]), name)
