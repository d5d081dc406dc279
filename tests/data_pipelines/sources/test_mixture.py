import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from data_pipelines.errors import UserError
from data_pipelines.examples import load_example
from data_pipelines.sources.files import FileSource, VideoFile
from data_pipelines.sources.mixture import PART_FIELDS, Mixture, part_sections
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.spec import InputSpec
from data_pipelines.video import MissingVideo, Source

CLASSES = ("run", "sit", "wave", "yoga")


def files(name: str, classes: tuple[str, ...], labels: list[int]) -> FileSource:
    videos = tuple(VideoFile(f"{i}.mp4", label) for i, label in enumerate(labels))
    return FileSource(name, videos, classes, "root", (MissingVideo(f"{name}.mp4", "line 1"),))


@given(
    st.lists(
        st.permutations(CLASSES).flatmap(
            lambda names: st.integers(0, 4).flatmap(
                lambda count: st.tuples(
                    st.just(tuple(names[:count])),
                    st.lists(st.integers(-1, count - 1), max_size=5),
                    st.floats(1e-3, 1e3),
                )
            )
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_video_keeps_its_class(parts) -> None:
    sources: dict[str, Source] = {
        f"p{i}": files(f"p{i}", names, labels) for i, (names, labels, _) in enumerate(parts)
    }
    weights = {f"p{i}": weight for i, (*_, weight) in enumerate(parts)}
    mixture = pickle.loads(pickle.dumps(Mixture.of(sources, weights)))  # noqa: S301
    assert mixture.classes == tuple(
        sorted({n for source in sources.values() for n in source.classes})
    )
    assert len(mixture) == sum(len(source) for source in sources.values())
    assert len({mixture.info(i).id for i in range(len(mixture))}) == len(mixture)
    for (start, stop, weight), (name, source) in zip(mixture.parts, sources.items(), strict=True):
        assert (stop - start, weight) == (len(source), weights[name])
        for row in range(len(source)):
            own, mixed = source.info(row), mixture.info(start + row)
            assert (mixed.id, mixed.path) == (f"{name}/{own.id}", own.path)
            assert (own.label < 0) == (mixed.label < 0)
            if own.label >= 0:
                assert mixture.classes[mixed.label] == source.classes[own.label]
    for outside in (-1, len(mixture)):
        with pytest.raises(IndexError):
            mixture.info(outside)
    assert [missing.path for missing in mixture.missing] == [f"{name}.mp4" for name in sources]


def test_videos_open_from_their_part() -> None:
    a, b = (MovingShapes(3, seed=seed, size=16, frames=2) for seed in (0, 1))
    mixture = Mixture.of({"a": a, "b": b}, {"a": 1.0, "b": 2.0})
    assert mixture.name == "a+b"
    np.testing.assert_array_equal(mixture.open(4).frames([1]), b.open(1).frames([1]))


def section(**parts: object) -> ConfigDict:
    usual = dict.fromkeys(PART_FIELDS, "") | {"fps": 25.0, "list_split": 1, "trimmed": False}
    usual |= {"stride": 2.0, "stride_unit": "frames"}
    return ConfigDict({**usual, "source": "mixture", "root": "usual", "parts": parts})


def test_a_part_may_have_a_stride_of_its_own() -> None:
    a, b = (MovingShapes(3, seed=seed, size=16, frames=30) for seed in (0, 1))
    mixture = Mixture.of({"a": a, "b": b}, {"a": 1.0, "b": 1.0}, {"b": 3.0})
    assert [mixture.info(i).stride for i in range(6)] == [None] * 3 + [3.0] * 3
    spec = InputSpec(clips=1, frames=4, stride=2, size=16, sampling="random", crop="center")
    for index, source, stride in ((1, a, 2), (4, b, 3)):
        got, expected = (
            load_example(of, dataclasses.replace(spec, stride=by), row, np.random.default_rng(3))
            for of, row, by in ((mixture, index, 2), (source, index % 3, stride))
        )
        np.testing.assert_array_equal(got["video"], expected["video"])


def test_a_part_has_the_fields_around_it() -> None:
    parts = part_sections(
        section(
            a={"weight": 2, "source": "folder"},
            b={"weight": 0.5, "source": "tfds", "root": "x", "fps": 10},
        )
    )
    (a, a_weight), (b, b_weight) = parts["a"], parts["b"]
    assert (a.source, a.root, a.fps, a_weight) == ("folder", "usual", 25.0, 2.0)
    assert (b.source, b.root, b.fps, b_weight) == ("tfds", "x", 10, 0.5)


WRONG = {
    "needs config.data.parts: in a config file": {},
    "parts.a.weight = None: give a number above 0": {"a": {"source": "folder"}},
    "parts.a.weight = 0: give a number above 0": {"a": {"source": "folder", "weight": 0}},
    "parts.a.weight = nan: give": {"a": {"source": "folder", "weight": float("nan")}},
    "parts.a.weight = True: give": {"a": {"source": "folder", "weight": True}},
    "parts.a.source = 'mixture': name where": {"a": {"source": "mixture", "weight": 1}},
    "parts.a.source = None: name where": {"a": {"weight": 1}},
    "parts.a.rot is no field of a part; did you mean 'root'": {
        "a": {"source": "folder", "weight": 1, "rot": "x"}
    },
    "parts.a.size is no field of a part": {"a": {"source": "folder", "weight": 1, "size": 2}},
    "parts.a.stride = 0: give a number above 0": {
        "a": {"source": "folder", "weight": 1, "stride": 0.0}
    },
    "parts.a.stride = 1.5: .* a whole one": {"a": {"source": "folder", "weight": 1, "stride": 1.5}},
    "parts.a.list_split = '1': give a int": {
        "a": {"source": "folder", "weight": 1, "list_split": "1"}
    },
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named(message: str) -> None:
    with pytest.raises(UserError, match=message):
        part_sections(section(**WRONG[message]))
