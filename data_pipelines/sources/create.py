"""From the `data` section of a config to the videos trained on and tested on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import UserError
from data_pipelines.sources.esc50 import read_esc50
from data_pipelines.sources.listing import check_missing
from data_pipelines.sources.mixture import Mixture, part_sections
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.sources.readers import READERS, read_splits, root_of
from data_pipelines.sources.section import limits_of
from data_pipelines.sources.subset import Subset, hold_out, keep_share, subset
from data_pipelines.suggest import nearest
from data_pipelines.video import Source


@dataclasses.dataclass(frozen=True)
class Sources:
    """The videos of a run.

    Attributes:
      train: trained on, and the gallery of evaluations.
      test: evaluated on, never trained on; None = evaluations are off.
      no_test_because: why there is no `test`, "" where there is.
      folds: int [len(test)]: classifiers are trained on all folds of `test` but one and tested on
        that one, in turn, and `train` is not looked at; None = trained on `train`.
    """

    train: Source
    test: Source | None
    no_test_because: str = ""
    folds: np.ndarray | None = None


def create_sources(data: Any, seed: int, unlabelled_test: bool = False) -> Sources:
    """Opens what the config section `data` describes (see configs/base.py for its fields).

    Args:
      data: the section.
      seed: of the experiment; fixes the built-in videos and what is held out.
      unlabelled_test: whether videos without labels are of use as a test (for retrieval); otherwise
        all of them are trained on.

    Raises:
      UserError: the section asks for something that is not there.
    """
    if data.source not in SOURCES:
        raise UserError(
            f"unknown config.data.source {data.source!r}; {nearest(data.source, SOURCES)}"
        )
    sources = _opened(data, seed, unlabelled_test)
    if data.source == "mixture":  # done part by part
        return sources
    return dataclasses.replace(sources, train=keep_share(sources.train, data.train_share, seed))


def _opened(data: Any, seed: int, unlabelled_test: bool) -> Sources:
    if data.source == "moving_shapes":
        return _moving_shapes(data, seed)
    if data.source == "esc50":
        return _esc50(data)
    if data.source == "mixture":
        return _mixture(data, seed, unlabelled_test)
    sources = _split(read_splits(data), data, seed, unlabelled_test)
    test = sources.test
    return dataclasses.replace(
        sources,
        train=_first(sources.train, data.train_videos, seed),
        test=None if test is None else _first(test, data.test_videos, seed),
    )


def _moving_shapes(data: Any, seed: int) -> Sources:
    """Noise and misalignment are for training alone: what a test asks has an answer."""
    colour = data.constant_colour
    return Sources(
        train=MovingShapes(
            videos=data.train_videos or 1024,
            seed=seed,
            split="train",
            constant_colour=colour,
            sound_noise=data.sound_noise,
            caption_noise=data.caption_noise,
            misalignment=data.misalignment,
        ),
        test=MovingShapes(
            videos=data.test_videos or 512, seed=seed, split="test", constant_colour=colour
        ),
    )


def _esc50(data: Any) -> Sources:
    source = read_esc50(root_of(data), limits_of(data))
    check_missing(source, data.max_missing_fraction)
    return Sources(source, source, folds=np.array(source.folds))


def _mixture(data: Any, seed: int, unlabelled_test: bool) -> Sources:
    sections = part_sections(data)
    parts = {
        name: create_sources(section, seed, unlabelled_test)
        for name, (section, _) in sections.items()
    }
    for name, part in parts.items():
        if part.folds is not None:
            raise UserError(
                f"config.data.parts.{name}: {part.train.name} has folds and no training videos; "
                "evaluate on it by itself"
            )
    weights = {name: weight for name, (_, weight) in sections.items()}
    strides = {name: float(part["stride"]) for name, part in data.parts.items() if "stride" in part}
    train = Mixture.of({name: part.train for name, part in parts.items()}, weights, strides)
    tests = {name: part.test for name, part in parts.items() if part.test is not None}
    if not tests:
        reasons = (f"{name}: {part.no_test_because}" for name, part in parts.items())
        return Sources(train, None, "; ".join(reasons))
    test = Mixture.of(tests, {name: weights[name] for name in tests}, strides)
    return Sources(train, dataclasses.replace(test, classes=train.classes))


SOURCES = ("moving_shapes", *READERS, "esc50", "mixture")


def _split(splits: Mapping[str, Source], data: Any, seed: int, unlabelled_test: bool) -> Sources:
    """Names which of the splits is trained on and which tested on, or holds some videos out."""
    test_split = data.test_split or _TEST_SPLIT.get(data.source, "test")
    if test_split in splits and len(splits) > 1:
        test = splits[test_split]
        rest = [name for name in splits if name != test_split]
        train = [splits["train"]] if "train" in rest else [splits[name] for name in rest]
        whole = train[0] if len(train) == 1 else Subset.join(train)
        check_missing(whole, data.max_missing_fraction)
        if not len(test):  # all missing: says more than that none has a label
            check_missing(test, data.max_missing_fraction)
        if not unlabelled_test and not _labelled(test):
            return Sources(whole, None, f"the videos of {test.name} have no labels")
        check_missing(test, data.max_missing_fraction)
        return Sources(whole, test)
    if list(splits) == [test_split]:
        raise UserError(
            f"all videos are in split {test_split!r}, the one of config.data.test_split, so "
            "none is left to train on; put some into another split, or name no split at all"
        )
    if set(splits) not in ({"all"}, {"train"}):
        raise UserError(
            f"config.data.test_split={test_split!r} is none of the splits there are: "
            f"{nearest(test_split, sorted(splits))}"
        )
    (whole,) = splits.values()
    check_missing(whole, data.max_missing_fraction)
    labelled = _labelled(whole)
    if not labelled and not unlabelled_test:
        return Sources(whole, None, f"the videos of {whole.name} have no labels")
    if not data.eval_fraction:
        return Sources(
            whole, None, "config.data.eval_fraction is 0 and the data names no test split"
        )
    train, test = hold_out(whole, data.eval_fraction, seed, by_class=labelled)
    return Sources(train, test)


# Where that called "test" is not public in full, or is called otherwise.
_TEST_SPLIT = {"audioset": "eval", "kinetics": "val", "ssv2": "val", "youcook2": "val"}


def _labelled(source: Source) -> bool:
    infos = map(source.info, range(len(source)))
    return bool(source.classes) and any(info.label >= 0 or info.labels for info in infos)


def _first(source: Source, videos: int, seed: int) -> Source:
    if not videos or videos >= len(source):
        return source
    chosen = np.random.default_rng(seed).permutation(len(source))[:videos]
    return subset(source, np.sort(chosen))
