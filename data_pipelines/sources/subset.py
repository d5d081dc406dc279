"""Parts and unions of sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.video import MissingVideo, Source, Video, VideoInfo


@dataclasses.dataclass(frozen=True)
class Subset:
    """Chosen videos of one or more sources with the same classes.

    Attributes:
      sources: where the videos come from.
      rows: (which source, which of its videos) for every video here.
      missing: listed videos that do not exist.
    """

    sources: tuple[Source, ...]
    rows: tuple[tuple[int, int], ...]
    missing: tuple[MissingVideo, ...] = ()

    @property
    def name(self) -> str:
        """That of the first source."""
        return self.sources[0].name

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the sources."""
        return self.sources[0].classes

    @property
    def factors(self) -> Mapping[str, np.ndarray]:
        """Those of the sources."""
        return self.sources[0].factors

    def __len__(self) -> int:
        return len(self.rows)

    def info(self, index: int) -> VideoInfo:
        """See Source.info."""
        source, row = self.rows[index]
        return self.sources[source].info(row)

    def open(self, index: int) -> Video:
        """See Source.open."""
        source, row = self.rows[index]
        return self.sources[source].open(row)

    @classmethod
    def join(cls, sources: Sequence[Source]) -> Subset:
        """All videos of several sources, one source after the other."""
        return cls(
            tuple(sources),
            tuple((s, row) for s, source in enumerate(sources) for row in range(len(source))),
            tuple(missing for source in sources for missing in source.missing),
        )


def subset(source: Source, indices: np.ndarray) -> Subset:
    """The videos of `source` at `indices`, in that order, and all that it misses."""
    return Subset((source,), tuple((0, int(index)) for index in indices), source.missing)


def hold_out(
    source: Source, fraction: float, seed: int, by_class: bool = True
) -> tuple[Subset, Subset]:
    """Splits a source into (train, test), the same share of every class.

    Segments of one file stay on one side. What the source misses is named on the side of train.

    Args:
      source: the videos.
      fraction: share of each class's files in test, in (0, 1); of a class with two files or more,
        at least one goes to either side.
      seed: fixes which.
      by_class: videos without a label go to train. Otherwise labels are not looked at.

    Raises:
      UserError: `fraction` is out of range, or nothing would be left to test on.
    """
    if not 0 < fraction < 1:
        raise UserError(f"config.data.eval_fraction = {fraction} must lie between 0 and 1")
    files: dict[int, dict[str, list[int]]] = {}  # by class and file
    for index in range(len(source)):
        info = source.info(index)
        label = info.label if by_class else 0
        files.setdefault(label, {}).setdefault(info.path or info.id, []).append(index)
    rng = np.random.default_rng(seed)
    test: list[int] = []
    for label in range(len(source.classes) if by_class else 1):
        members = list(files.get(label, {}).values())
        count = min(max(round(fraction * len(members)), 1), len(members) - 1) if members else 0
        for chosen in rng.permutation(len(members))[:count]:
            test.extend(members[chosen])
    if not test:
        raise UserError(
            f"{source.name}: {'no class has' if by_class else 'there are not'} two files, so none "
            "can be held out for evaluation; "
            "set --config.data.eval_fraction=0 to train without"
        )
    held_out = np.asarray(sorted(test))
    train = subset(source, np.setdiff1d(np.arange(len(source)), held_out))
    return train, dataclasses.replace(subset(source, held_out), missing=())


def draw_by_class(
    labels_N: np.ndarray, count_of: Callable[[int], int], seed: int | tuple[int, ...]
) -> np.ndarray:
    """Chooses videos of every class at random, each class by itself.

    Of one seed, the larger choice holds the smaller one, and the videos of a class do not depend on
    those of other classes.

    Args:
      labels_N: int, -1 = none: never chosen.
      count_of: how many videos a class has -> how many of them to choose.
      seed: fixes which.

    Returns:
      int64, ascending rows of `labels_N`.
    """
    labels_N = np.asarray(labels_N)
    chosen = [np.zeros(0, np.int64)]
    for label in np.unique(labels_N[labels_N >= 0]).tolist():
        members = np.flatnonzero(labels_N == label)
        seeds = (*(seed if isinstance(seed, tuple) else (seed,)), label)
        order = np.random.default_rng(seeds).permutation(members)
        chosen.append(order[: count_of(len(members))])
    return np.sort(np.concatenate(chosen))


def share_of_class(share: float) -> Callable[[int], int]:
    """For `draw_by_class`: the nearest whole number to this share of a class, at least one."""
    return lambda members: max(1, round(share * members))


def keep_share(source: Source, share: float, seed: int) -> Source:
    """The videos of `source` that semi-supervised learning has the labels of; all where share is 1.

    Args:
      source: labelled videos; those without a label are left out.
      share: of each class, in (0, 1]; of all videos alike where they may have several classes.
      seed: fixes which, see `draw_by_class`.

    Raises:
      UserError: no video has a label.
    """
    if share == 1:
        return source
    infos = [source.info(index) for index in range(len(source))]
    labels = [0 if info.labels else info.label for info in infos]
    rows = draw_by_class(np.array(labels), share_of_class(share), seed)
    if not len(rows):
        raise UserError(
            f"{source.name}: config.data.train_share = {share:g} is a share of the labelled "
            "videos, and no video has a label"
        )
    return subset(source, rows)
