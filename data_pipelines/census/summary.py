"""What all records say together: the counts of the report, and `census.json`."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_pipelines.census.inputs import Inputs
from data_pipelines.census.record import Record

CLIP_FRAMES = (8, 16, 32, 64)
"""Lengths of clips for which the census tells the stride that the videos allow."""


@dataclasses.dataclass(frozen=True)
class LargestStride:
    """The largest stride, in frames, at which a video holds a whole clip; others are looped.

    Attributes:
      frames: of the clip.
      all: the stride that every readable video allows; 0 where not even 1 fits.
      most: the one that at least 95 % of them allow.
      half: the one that at least half of them allow.
    """

    frames: int
    all: int
    most: int
    half: int


@dataclasses.dataclass(frozen=True)
class Summary:
    """The census in numbers. Counts are of videos (segments, where a list cuts some out).

    Attributes:
      root: the folder that paths are relative to.
      records: all that was looked at, in the order of the folder or list.
      missing: (path, list and line) of listed videos that do not exist.
      quick: whether only the first frame was decoded.
    """

    root: str
    records: tuple[Record, ...]
    missing: tuple[tuple[str, str], ...]
    quick: bool

    @classmethod
    def of(cls, inputs: Inputs, records: Sequence[Record], quick: bool) -> Summary:
        """The summary of what `collect` found in `inputs`."""
        return cls(inputs.root, tuple(records), inputs.missing, quick)

    @property
    def readable(self) -> list[Record]:
        """Videos that can be trained on."""
        return [record for record in self.records if record.status == "readable"]

    @property
    def bad(self) -> list[Record]:
        """Files that cannot be read."""
        return [record for record in self.records if record.status == "bad"]

    @property
    def other(self) -> list[Record]:
        """Files that are no videos and not meant to be."""
        return [record for record in self.records if record.status == "other"]

    @property
    def videos(self) -> list[Record]:
        """Readable and bad ones."""
        return [record for record in self.records if record.status != "other"]

    @property
    def clean(self) -> list[Record]:
        """Readable videos without copies of others: what to train from."""
        return [record for record in self.readable if not record.copy_of]

    @property
    def hours(self) -> float:
        """Of readable video."""
        return sum(record.seconds for record in self.readable) / 3600

    @property
    def partly_decoded(self) -> int:
        """Readable videos of which some frames were not decoded for want of time."""
        return 0 if self.quick else sum(r.decoded < r.frames for r in self.readable)

    def bad_by_reason(self) -> list[list[Record]]:
        """Bad files, grouped by their reason without its numbers; the largest group first."""
        groups: dict[str, list[Record]] = defaultdict(list)
        for record in self.bad:
            groups[re.sub(r"\d[\d.]*", "", record.reason)].append(record)
        return sorted(groups.values(), key=len, reverse=True)

    def by_class(self) -> dict[str, dict[str, int]]:
        """Videos by class and split; a class without a name is ""."""
        table: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for record in self.videos:
            table[record.class_name][record.split] += 1
        return {name: dict(table[name]) for name in sorted(table)}

    def splits(self) -> list[str]:
        """Names of the splits, in order of appearance."""
        return list(dict.fromkeys(record.split for record in self.videos))

    def duplicates(self) -> list[list[Record]]:
        """Groups of readable videos with equal content, those across splits first."""
        groups: dict[str, list[Record]] = defaultdict(list)
        for record in self.readable:
            if record.digest:
                groups[record.digest].append(record)
        found = [same for same in groups.values() if len({r.path for r in same}) > 1]
        return sorted(found, key=lambda same: not is_across(same))

    def strides(self) -> list[LargestStride]:
        """Which strides the lengths of the readable videos allow; [] without any."""
        lengths = [record.frames for record in self.readable]
        if not lengths:
            return []
        have = np.quantile(lengths, (0, 0.05, 0.5), method="lower").tolist()
        return [LargestStride(t, *((n - 1) // (t - 1) for n in have)) for t in CLIP_FRAMES]


def is_across(same: Sequence[Record]) -> bool:
    """Whether equal videos lie in different splits."""
    return len({record.split for record in same}) > 1


def counts(values: Sequence[str]) -> dict[str, int]:
    """How often each value occurs, the commonest first."""
    return dict(Counter(values).most_common())


def frame_rates(records: Sequence[Record]) -> dict[str, int]:
    """Videos by frame rate, to two decimals; those whose rate varies are one group."""
    return counts(["variable" if r.irregular else f"{round(r.fps, 2):g}" for r in records])


def resolutions(records: Sequence[Record]) -> dict[str, int]:
    """Videos by width x height."""
    return counts([f"{record.width}x{record.height}" for record in records])


def low_middle_high(values: Sequence[float]) -> dict[str, float] | None:
    """Quantiles 0, 5, 50, 95 and 100 %; None of nothing."""
    if not values:
        return None
    names = ("least", "p5", "median", "p95", "most")
    return dict(zip(names, np.quantile(values, (0, 0.05, 0.5, 0.95, 1)).round(4).tolist()))


def as_json(summary: Summary) -> dict[str, Any]:
    """What `--json` prints and `census.json` holds."""
    readable, by_class = summary.readable, summary.by_class()
    return {
        "root": summary.root,
        "videos": len(summary.videos),
        "readable": len(readable),
        "bad": [{"path": record.path, "reason": record.reason} for record in summary.bad],
        "hours": summary.hours,
        "classes": {name: sum(split.values()) for name, split in by_class.items() if name},
        "splits": {
            split: {
                "videos": sum(row.get(split, 0) for row in by_class.values()),
                "classes": {n: row[split] for n, row in by_class.items() if n and split in row},
            }
            for split in summary.splits()
        },
        "missing": [{"path": path, "where": where} for path, where in summary.missing],
        "other": [{"path": record.path, "reason": record.reason} for record in summary.other],
        "duplicates": [
            [{"path": record.path, "split": record.split} for record in same]
            for same in summary.duplicates()
        ],
        "duplicates_across_splits": sum(map(is_across, summary.duplicates())),
        "clean": len(summary.clean),
        "seconds": low_middle_high([record.seconds for record in readable]),
        "frames": low_middle_high([record.frames for record in readable]),
        "fps": low_middle_high([record.fps for record in readable]),
        "largest_stride": [dataclasses.asdict(stride) for stride in summary.strides()],
        "resolutions": resolutions(readable),
        "frame_rates": frame_rates(readable),
        "codecs": counts([record.codec for record in readable]),
        "containers": counts([record.container for record in readable]),
        "audio": counts([record.audio or "none" for record in readable]),
        "keyframe_gap_seconds": low_middle_high(
            [r.key_gap for r in readable if r.key_gap is not None]
        ),
        "damaged": [{"path": r.path, "frames": r.damaged} for r in readable if r.damaged],
        "partly_decoded": summary.partly_decoded,
        "quick": summary.quick,
    }
