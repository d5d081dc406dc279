"""From the `data` section of a config to the videos trained on and tested on."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.sources.csv_manifest import read_manifest
from data_pipelines.sources.folder import folder_splits
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.sources.split_lists import read_hmdb51, read_ucf101
from data_pipelines.sources.subset import Subset, hold_out, subset
from data_pipelines.suggest import nearest
from data_pipelines.video import Source

SOURCES = ("moving_shapes", "folder", "csv", "ucf101", "hmdb51")


@dataclasses.dataclass(frozen=True)
class Sources:
    """The videos of a run.

    Attributes:
      train: trained on, and the gallery of evaluations.
      test: evaluated on, never trained on; None = evaluations are off.
      no_test_because: why there is no `test`, "" where there is.
    """

    train: Source
    test: Source | None
    no_test_because: str = ""


def create_sources(data: Any, seed: int) -> Sources:
    """Opens what the config section `data` describes (see configs/base.py for its fields).

    Args:
      data: the section.
      seed: of the experiment; fixes the built-in videos and what is held out.

    Raises:
      UserError: the section asks for something that is not there.
    """
    if data.source not in SOURCES:
        raise UserError(
            f"unknown config.data.source {data.source!r}; {nearest(data.source, SOURCES)}"
        )
    if data.source == "moving_shapes":
        return Sources(
            train=MovingShapes(videos=data.train_videos or 1024, seed=seed, split="train"),
            test=MovingShapes(videos=data.test_videos or 512, seed=seed, split="test"),
        )
    sources = _split(read_splits(data), data, seed)
    test = sources.test
    return dataclasses.replace(
        sources,
        train=_first(sources.train, data.train_videos, seed),
        test=None if test is None else _first(test, data.test_videos, seed),
    )


def read_splits(data: Any) -> Mapping[str, Source]:
    """Reads the splits of a collection of files as they are found there.

    Args:
      data: the config section, of any source but "moving_shapes".

    Raises:
      UserError: the section asks for something that is not there.
    """
    root = pathlib.Path(data.root).expanduser() if data.root else None
    if data.source == "csv":
        if not data.manifest:
            raise UserError("config.data.source=csv needs --config.data.manifest=FILE.csv")
        return read_manifest(
            pathlib.Path(data.manifest).expanduser(), root, data.label_column, data.split_column
        )
    if root is None:
        raise UserError(f"config.data.source={data.source} needs --config.data.root=DIR")
    if data.source == "folder":
        return folder_splits(root)
    if not data.lists:
        raise UserError(
            f"config.data.source={data.source} needs --config.data.lists=DIR, the folder of its "
            "official split lists"
        )
    read = read_ucf101 if data.source == "ucf101" else read_hmdb51
    return read(root, pathlib.Path(data.lists).expanduser(), data.list_split)


def _split(splits: Mapping[str, Source], data: Any, seed: int) -> Sources:
    """Names which of the splits is trained on and which tested on, or holds some videos out."""
    if data.test_split in splits and len(splits) > 1:
        test = splits[data.test_split]
        rest = [name for name in splits if name != data.test_split]
        train = [splits["train"]] if "train" in rest else [splits[name] for name in rest]
        whole = train[0] if len(train) == 1 else Subset.join(train)
        if not test.classes:
            return Sources(whole, None, f"the videos of {whole.name} have no labels")
        return Sources(whole, test)
    if list(splits) == [data.test_split]:
        raise UserError(
            f"all videos are in split {data.test_split!r}, the one of config.data.test_split, so "
            "none is left to train on; put some into another split, or name no split at all"
        )
    if set(splits) not in ({"all"}, {"train"}):
        raise UserError(
            f"config.data.test_split={data.test_split!r} is none of the splits there are: "
            f"{nearest(data.test_split, sorted(splits))}"
        )
    (whole,) = splits.values()
    if not whole.classes:
        return Sources(whole, None, f"the videos of {whole.name} have no labels")
    if not data.eval_fraction:
        return Sources(
            whole, None, "config.data.eval_fraction is 0 and the data names no test split"
        )
    train, test = hold_out(whole, data.eval_fraction, seed)
    return Sources(train, test)


def _first(source: Source, videos: int, seed: int) -> Source:
    if not videos or videos >= len(source):
        return source
    chosen = np.random.default_rng(seed).permutation(len(source))[:videos]
    return subset(source, np.sort(chosen))
