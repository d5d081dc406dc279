"""Several sources as one, drawn from by weight."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.sources.files import sorted_classes
from data_pipelines.suggest import nearest
from data_pipelines.video import MissingVideo, Source, Video, VideoInfo

# What a part may have of its own; the other fields of the section say what is done with videos,
# and that is the same for all of a batch.
PART_FIELDS = (
    *("source", "root", "manifest", "lists", "list_split", "label_column", "split_column"),
    *("caption_column", "captions"),
    *("test_split", "eval_fraction", "train_videos", "test_videos", "max_missing_fraction"),
    *("train_share",),
    *("trimmed", "dataset", "video_column", "fps", "max_seconds", "max_pixels", "max_frames"),
    *("max_hours", "follow_links"),
    *("constant_colour", "sound_noise", "caption_noise", "misalignment"),
    "stride",
)


@dataclasses.dataclass(frozen=True)
class Mixture:
    """All videos of several sources, one source after the other; a `Source`.

    Attributes:
      sources: the parts by name.
      weights: how often each is drawn from, in any unit, above 0.
      classes: class names by label; classes of the same name in several parts are one.
      strides: of the clips of parts that have a stride of their own.
    """

    sources: Mapping[str, Source]
    weights: Mapping[str, float]
    classes: tuple[str, ...]
    strides: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        sources: Mapping[str, Source],
        weights: Mapping[str, float],
        strides: Mapping[str, float] | None = None,
    ) -> Mixture:
        """Mixes sources over all of their classes."""
        names = {name for source in sources.values() for name in source.classes}
        return cls(sources, weights, sorted_classes(names), strides or {})

    @functools.cached_property
    def parts(self) -> tuple[tuple[int, int, float], ...]:
        """(first index, index behind the last, weight) of each part."""
        stops = list(itertools.accumulate(len(source) for source in self.sources.values()))
        return tuple(zip([0, *stops], stops, [self.weights[name] for name in self.sources]))

    @property
    def name(self) -> str:
        """The names of the parts."""
        return "+".join(self.sources)

    @property
    def factors(self) -> Mapping[str, np.ndarray]:
        """No grouping is common to the classes of all parts."""
        return {}

    @property
    def missing(self) -> tuple[MissingVideo, ...]:
        """Those of all parts."""
        return tuple(missing for source in self.sources.values() for missing in source.missing)

    def __len__(self) -> int:
        return self.parts[-1][1]

    def info(self, index: int) -> VideoInfo:
        """See Source.info; the id begins with the part's name."""
        name, row = self._place(index)
        info = self.sources[name].info(row)
        label = self._labels[name][info.label] if info.label >= 0 else -1
        # Several labels and one do not go into one batch.
        return dataclasses.replace(
            info,
            id=f"{name}/{info.id}",
            label=label,
            labels=None,
            stride=self.strides.get(name),
        )

    def open(self, index: int) -> Video:
        """See Source.open."""
        name, row = self._place(index)
        return self.sources[name].open(row)

    @functools.cached_property
    def _labels(self) -> dict[str, list[int]]:
        label_of = {name: label for label, name in enumerate(self.classes)}
        return {
            name: [label_of[class_name] for class_name in source.classes]
            for name, source in self.sources.items()
        }

    def _place(self, index: int) -> tuple[str, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"video {index} of a mixture of {len(self)}")
        for name, (start, stop, _) in zip(self.sources, self.parts):
            if index < stop:
                return name, index - start
        raise AssertionError


def part_sections(data: Any) -> dict[str, tuple[Any, float]]:
    """Completes what config.data.parts says of each part by the fields of the section around it.

    Args:
      data: the config section, whose `parts` maps names to {"weight": ..., field: value, ...}.

    Returns:
      By name of the part: a section of its own, and its weight.

    Raises:
      UserError: there is no part, a part has no weight above 0, or a field that it cannot have.
    """
    if not data.parts:
        raise UserError(
            "config.data.source=mixture needs config.data.parts: in a config file, "
            "config.data.parts = {'a': {'weight': 1.0, 'source': ..., 'root': ...}, ...}"
        )
    return {name: _section(data, name, dict(part)) for name, part in data.parts.items()}


def _section(data: Any, name: str, part: dict[str, Any]) -> tuple[Any, float]:
    where = f"config.data.parts.{name}"
    known = ("weight", *PART_FIELDS)
    for field in part:
        if field not in known:
            raise UserError(f"{where}.{field} is no field of a part; {nearest(field, known)}")
    weight = part.pop("weight", None)
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not (number and math.isfinite(weight) and weight > 0):
        raise UserError(f"{where}.weight = {weight!r}: give a number above 0")
    if part.get("source") in (None, "mixture"):
        raise UserError(f"{where}.source = {part.get('source')!r}: name where its videos are from")
    section = types.SimpleNamespace(**{field: data[field] for field in PART_FIELDS})
    for field, value in part.items():
        usual = getattr(section, field)
        if type(value) is not type(usual) and not (type(usual) is float and type(value) is int):
            raise UserError(f"{where}.{field} = {value!r}: give a {type(usual).__name__}")
        setattr(section, field, value)
    whole = data.stride_unit == "seconds" or float(section.stride).is_integer()
    if not section.stride > 0 or not whole:
        raise UserError(
            f"{where}.stride = {section.stride:g}: give a number above 0, with "
            "config.data.stride_unit='frames' a whole one"
        )
    return section, float(weight)
