import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.sources.subset import Subset, hold_out, subset
from data_pipelines.video import MissingVideo


def files(labels: list[int], name: str = "files", classes: int = 3) -> FileSource:
    videos = tuple(VideoFile(f"{name}{i}.mp4", label) for i, label in enumerate(labels))
    return FileSource(name, videos, tuple(f"class{c}" for c in range(classes)), "root")


def ids(source) -> list[str]:
    return [source.info(index).id for index in range(len(source))]


def test_a_subset_is_its_part() -> None:
    whole = MovingShapes(9, seed=0, size=16, frames=3)
    part = pickle.loads(pickle.dumps(subset(whole, np.asarray([7, 2]))))  # noqa: S301
    assert len(part) == 2
    assert part.info(0) == whole.info(7)
    np.testing.assert_array_equal(part.open(1).frames([1]), whole.open(2).frames([1]))
    assert (part.name, part.classes) == (whole.name, whole.classes)
    assert part.factors.keys() == {"shape", "motion"}
    assert ids(subset(part, np.asarray([1]))) == [whole.info(2).id]


def test_what_is_missing_is_named_once() -> None:
    missing = (MissingVideo("root/x.mp4", "line 1"),)
    whole = dataclasses.replace(files([0, 0, 1, 1]), missing=missing)
    assert subset(whole, np.asarray([0])).missing == missing
    assert Subset.join([whole, files([0])]).missing == missing
    train, test = hold_out(whole, 0.5, seed=0)
    assert (train.missing, test.missing) == (missing, ())


def test_join() -> None:
    joined = Subset.join([files([0, 1], "a"), files([2], "b")])
    assert ids(joined) == ["a0.mp4", "a1.mp4", "b0.mp4"]
    assert [joined.info(i).label for i in range(3)] == [0, 1, 2]


@given(
    labels=st.lists(st.integers(-1, 2), min_size=1, max_size=40),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_hold_out_splits_every_class(labels, fraction, seed) -> None:
    source = files(labels)
    counts = [labels.count(label) for label in range(3)]
    if max(counts) < 2:
        with pytest.raises(UserError, match="no class has two files"):
            hold_out(source, fraction, seed)
        return
    train, test = hold_out(source, fraction, seed)
    assert sorted(ids(train) + ids(test)) == sorted(ids(source))
    held = [test.info(i).label for i in range(len(test))]
    assert -1 not in held
    for label, count in enumerate(counts):
        if count > 1:
            assert 1 <= held.count(label) <= count - 1
            assert abs(held.count(label) - fraction * count) <= 1
        else:
            assert held.count(label) == 0
    again = hold_out(source, fraction, seed)
    assert (ids(again[0]), ids(again[1])) == (ids(train), ids(test))


def test_hold_out_without_a_look_at_labels() -> None:
    source = files([-1] * 10 + [0] * 10)
    train, test = hold_out(source, 0.3, 0, by_class=False)
    assert sorted(ids(train) + ids(test)) == sorted(ids(source))
    assert len(test) == 6
    assert {test.info(i).label for i in range(6)} == {-1, 0}


def test_hold_out_depends_on_the_seed() -> None:
    source = files([0] * 20)
    assert len({tuple(ids(hold_out(source, 0.5, seed)[1])) for seed in range(5)}) == 5


@pytest.mark.parametrize("fraction", [-0.1, 0, 1, 1.5, float("nan")])
def test_a_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(UserError, match=r"config\.data\.eval_fraction = "):
        hold_out(files([0, 0]), fraction, 0)


def test_hold_out_keeps_segments_of_a_file_together() -> None:
    videos = tuple(
        VideoFile(f"{name}.mp4", 0, float(second), second + 1.0)
        for name in "abcdef"
        for second in range(3)
    )
    source = FileSource("segments", videos, ("only",), "root")
    train, test = hold_out(source, 0.3, seed=0)
    paths = [{part.info(i).path for i in range(len(part))} for part in (train, test)]
    assert len(test) == 6
    assert not paths[0] & paths[1]
