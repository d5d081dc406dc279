"""Batches by grain: the same ones, in the same order, for any number of workers and hosts."""

from __future__ import annotations

import contextlib
import itertools
import signal
from collections.abc import Iterator
from typing import Any

import grain
import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.examples import Example, load_example
from data_pipelines.spec import InputSpec
from data_pipelines.video import Source

Batch = dict[str, np.ndarray]


class LoadExample(grain.transforms.RandomMap):
    """Opens, samples, decodes and crops the video of a given index."""

    def __init__(self, source: Source, spec: InputSpec) -> None:
        self.source, self.spec = source, spec

    def random_map(self, element: int, rng: np.random.Generator) -> Example:
        """Returns the example of video `element`."""
        return load_example(self.source, self.spec, int(element), rng)


class TrainBatches:
    """Endless shuffled batches whose position can be saved and restored.

    Every epoch is a new shuffle of all videos, of which the last `len(source) % batch_size` are
    left out, so that a batch never holds one video twice (it would be its own negative).

    Args:
      source: the videos.
      spec: the clips wanted of each.
      batch_size: examples of the global batch, over all hosts.
      seed: fixes order, clips and crops together with the position in the stream.
      workers: worker processes; 0 reads in threads of this process.
      host: (index, count) of this process; it gets every count-th example.
    """

    def __init__(
        self,
        source: Source,
        spec: InputSpec,
        *,
        batch_size: int,
        seed: int,
        workers: int = 0,
        host: tuple[int, int] = (0, 1),
    ) -> None:
        if len(source) < batch_size:
            raise UserError(
                f"{source.name}: {len(source)} videos are fewer than batch_size = {batch_size}; "
                f"set --config.batch_size={len(source)} or less, or add videos"
            )
        usable = len(source) // batch_size * batch_size
        examples = (
            grain.MapDataset.range(len(source))
            .seed(seed)
            .shuffle()
            .slice(slice(0, usable))
            .repeat()
            .random_map(LoadExample(source, spec))
        )
        self._started = False
        self._iterator = iter(
            grain.experimental.ElasticIterator(
                examples,
                batch_size,
                grain.sharding.ShardOptions(shard_index=host[0], shard_count=host[1]),
                read_options=_READ,
                multiprocessing_options=(
                    grain.MultiprocessingOptions(num_workers=workers) if workers else None
                ),
            )
        )

    def __next__(self) -> Batch:
        if self._started:
            return next(self._iterator)
        self._started = True
        with _workers_deaf_to_interrupts():
            return next(self._iterator)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def get_state(self) -> dict[str, Any]:
        """The position in the stream: a small JSON-like dict, the same for any worker count."""
        return self._iterator.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes to a position that `get_state` returned."""
        with _workers_deaf_to_interrupts():
            self._iterator.set_state(state)
        self._started = False

    def close(self) -> None:
        """Stops threads and worker processes."""
        self._iterator.close()


def evaluation_batches(
    source: Source, spec: InputSpec, *, batch_size: int, workers: int = 0
) -> Iterator[Batch]:
    """Yields every video once, in order; the last batch is padded with `valid` False.

    Padding has `index` -1 and an empty `error`, which tells it from an unreadable video.
    """
    dataset = (
        grain.MapDataset.range(len(source))
        .seed(0)  # crops of an evaluation are fixed; a seed is needed by random_map all the same
        .random_map(LoadExample(source, spec))
        .batch(batch_size, drop_remainder=False)
        .to_iter_dataset(_READ)
    )
    if workers:
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    with _workers_deaf_to_interrupts():
        iterator = iter(dataset)
        first = list(itertools.islice(iterator, 1))
    try:
        for batch in itertools.chain(first, iterator):
            missing = batch_size - len(batch["index"])
            yield _pad(batch, missing) if missing else batch
    finally:
        iterator.close()


@contextlib.contextmanager
def _workers_deaf_to_interrupts() -> Iterator[None]:
    """Wrap around what starts workers: they inherit a mask that keeps Ctrl-C from them.

    A terminal sends it to every process of a run, but only the main one should answer: it still
    wants the workers' batches up to the step at which it stops.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pad(batch: Batch, missing: int) -> Batch:
    padded = {
        key: np.concatenate([value, np.zeros((missing, *value.shape[1:]), value.dtype)])
        for key, value in batch.items()
    }
    padded["index"][-missing:] = -1
    padded["label"][-missing:] = -1
    return padded


_READ = grain.ReadOptions(num_threads=4, prefetch_buffer_size=4)  # units: batches
