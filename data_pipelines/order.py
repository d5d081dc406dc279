"""Which video comes where in the endless stream of training examples, and with which randomness."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import grain
import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.examples import PADDING
from data_pipelines.loading import Ticket
from data_pipelines.sources.mixture import Mixture
from data_pipelines.suggest import nearest
from data_pipelines.video import Source

LastBatch = Literal["drop", "pad"]
"""What becomes of the videos at the end of an epoch that do not fill a batch."""


class TrainOrder:
    """The global stream of examples, of which every host reads its rows of each batch.

    Every epoch is a new shuffle of all videos. The last `len(source) % batch_size` of them are left
    out, or get a batch of their own that is filled up with `PADDING`: no batch reaches into the
    next epoch, so that none holds a video twice (it would be its own negative).

    Of a `Mixture`, every batch has the same number of rows for each part, as near to its weight as
    whole numbers allow, and each part has epochs of its own.

    Args:
      source: the videos.
      batch_size: examples of the global batch, over all hosts.
      seed: the stream is a function of it, of the source's length, of the batch size and of
        `last_batch`.
      host: (index, count) of this process.
      last_batch: "drop" leaves the last videos of an epoch out, "pad" keeps them.

    Attributes:
      batch_size: see above.
      rows: examples of each batch that this host reads.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        seed: int,
        host: tuple[int, int],
        last_batch: LastBatch = "drop",
    ) -> None:
        index, count = host
        if batch_size < 1:
            raise UserError(f"batch_size = {batch_size} must be at least 1")
        if not 0 <= index < count:
            raise UserError(f"host = {host} must be (index, count) with 0 <= index < count")
        if last_batch not in get_args(LastBatch):
            known = nearest(str(last_batch), get_args(LastBatch))
            raise UserError(f"last_batch = {last_batch!r} is unknown; {known}")
        if batch_size % count:
            raise UserError(
                f"batch_size = {batch_size} is not divisible by {count} hosts; set "
                f"--config.batch_size={max(1, batch_size // count) * count}"
            )
        self.batch_size, self._seed = batch_size, seed
        self.rows = batch_size // count
        parts = source.parts if isinstance(source, Mixture) else ((0, len(source), 1.0),)
        per_batch = shares([weight for *_, weight in parts], batch_size)
        self._streams = []
        for number, ((start, stop, weight), examples) in enumerate(zip(parts, per_batch)):
            _check(source, start, stop, weight, examples, batch_size, last_batch)
            videos = grain.MapDataset.range(start, stop).seed(seed + number).shuffle().repeat()
            count = stop - start
            batches = count // examples if last_batch == "drop" else -(-count // examples)
            self._streams.append(_Stream(videos, count, batches * examples))
        # The rows of a batch as (stream, which of its examples of this batch), well mixed, so that
        # hosts get like shares of every part.
        rows = [(s, k) for s, examples in enumerate(per_batch) for k in range(examples)]
        rows.sort(key=lambda row: (row[1] + 0.5) / per_batch[row[0]])
        self._per_batch = per_batch
        self._rows = rows[index * self.rows : (index + 1) * self.rows]

    def tickets(self, batch: int) -> Iterator[Ticket]:
        """Yields this host's tickets from global batch number `batch` on, without end."""
        for number in itertools.count(batch):
            for stream, rank in self._rows:
                position = number * self._per_batch[stream] + rank
                index = self._streams[stream].index(position)
                yield Ticket(index, (self._seed, stream, position))


@dataclasses.dataclass(frozen=True)
class _Stream:
    """Epochs of one part without end.

    Attributes:
      shuffled: its videos in an endless row, every `videos` of which are a new shuffle.
      videos: how many there are.
      places: in the stream for an epoch: fewer than videos, or more, which are padding.
    """

    shuffled: grain.MapDataset[int]
    videos: int
    places: int

    def index(self, position: int) -> int:
        epoch, place = divmod(position, self.places)
        if place >= self.videos:
            return PADDING
        video = self.shuffled[epoch * self.videos + place]
        assert video is not None
        return int(video)


def shares(weights: Sequence[float], total: int) -> list[int]:
    """Splits `total` by weights into whole numbers (largest remainders; the first of equal ones).

    Args:
      weights: each above 0; only their ratios matter.
      total: what the result sums to.
    """
    exact = np.asarray(weights, np.float64) / np.sum(weights) * total
    counts = np.floor(exact + 1e-9).astype(int)
    largest = np.argsort(-(exact - counts), kind="stable")[: total - counts.sum()]
    counts[largest] += 1
    return counts.tolist()


def _check(
    source: Source,
    start: int,
    stop: int,
    weight: float,
    examples: int,
    batch_size: int,
    last_batch: LastBatch,
) -> None:
    """Refuses a batch that would never be full, or would hold none of a part."""
    if stop - start == len(source):
        if len(source) < batch_size and last_batch == "drop":
            raise UserError(
                f"{source.name}: {len(source)} videos are fewer than batch_size = {batch_size}; "
                f"set --config.batch_size={len(source)} or less, add videos, or pad batches with "
                "--config.data.last_batch=pad"
            )
        return
    name = f"{source.name}: the part that begins with {source.info(start).id}"
    if not examples:
        raise UserError(
            f"{name} has weight {weight:g}, less than one example in a batch of {batch_size}; "
            "raise its weight or --config.batch_size"
        )
    if stop - start < examples:
        raise UserError(
            f"{name} has {stop - start} videos, but its weight {weight:g} asks for {examples} in "
            f"every batch of {batch_size}; lower its weight or --config.batch_size"
        )
