import json
import logging
import pathlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.bad_examples import BadExamples, read_bad_examples
from data_pipelines.errors import UserError

SIZE = 20


def batch(*indices: int, bad: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    valid = [index >= 0 and index not in bad for index in indices]
    reasons = [f"reason {index}" if index in bad else "" for index in indices]
    return {
        "index": np.asarray(indices, np.int64),
        "valid": np.asarray(valid),
        "error": np.asarray(reasons),
    }


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "bad.jsonl"


@pytest.fixture
def source(fake_source):
    return fake_source([None] * SIZE)


def test_each_is_logged_and_listed_once(source, path, caplog) -> None:
    bad = BadExamples(source, path, 1.0)
    assert read_bad_examples(path) == []
    with caplog.at_level(logging.WARNING):
        bad.update(batch(0, 1, 2, bad=(1,)))
        bad.update(batch(1, 3, bad=(1, 3)))
    assert [record.getMessage() for record in caplog.records] == [
        "left out, cannot be read: v1.mp4: reason 1",
        "left out, cannot be read: v3.mp4: reason 3",
    ]
    assert read_bad_examples(path) == [
        {"id": "v1", "path": "v1.mp4", "reason": "reason 1"},
        {"id": "v3", "path": "v3.mp4", "reason": "reason 3"},
    ]
    assert bad.count == 2


def test_processes_agree_on_what_all_of_them_found_and_one_writes(source, tmp_path) -> None:
    """Two processes with halves of each batch count like one with the whole."""
    said: list[list] = []  # of both, before either hears it
    both = [
        BadExamples(
            source,
            tmp_path / f"{number}.jsonl",
            0.2,
            gather=lambda value: said,
            writes=number == 0,
        )
        for number in range(2)
    ]
    alone = BadExamples(source, tmp_path / "alone.jsonl", 0.2)

    def agree() -> None:
        said[:] = [json.loads(json.dumps(one._news)) for one in both]
        for one in both:
            one.agree()

    for first, second in (((0, 1), (2, 3)), ((1, 4), (5, -1))):
        alone.update(batch(*first, *second, bad=(1, 3, 5)))
        both[0].update(batch(*first, bad=(1, 3, 5)))
        both[1].update(batch(*second, bad=(1, 3, 5)))
    assert [one.count for one in both] == [0, 0]
    agree()
    agree()  # nothing is counted twice
    assert [one.get_state() for one in both] == [alone.get_state()] * 2
    written = {row["id"] for row in read_bad_examples(tmp_path / "0.jsonl")}
    assert written == {row["id"] for row in read_bad_examples(tmp_path / "alone.jsonl")}
    assert not (tmp_path / "1.jsonl").exists()
    both[0].update(batch(*range(6, 20), bad=(6, 7)))
    said[:] = [one._news for one in both]
    for one in both:
        with pytest.raises(UserError, match="5 of 20 videos"):
            one.agree()


def test_a_resumed_run_lists_nothing_twice(source, path, caplog) -> None:
    first = BadExamples(source, path, 1.0)
    first.update(batch(0, 1, bad=(1,)))
    state = json.loads(json.dumps(first.get_state()))
    first.update(batch(2, bad=(2,)))  # after the checkpoint: listed, but not in the state
    caplog.clear()
    again = BadExamples(source, path, 1.0)
    again.set_state(state)
    assert again.get_state() == state
    assert again.count == 1
    again.update(batch(2, 1, 4, bad=(1, 2, 4)))
    assert again.count == 3
    assert [row["id"] for row in read_bad_examples(path)] == ["v1", "v2", "v4"]
    assert [record.args[0] for record in caplog.records] == ["v4.mp4"]


@given(cut=st.integers(1, 10_000))
def test_a_torn_line_is_passed_over_and_swallows_nothing(cut, tmp_path_factory) -> None:
    from data_pipelines.video import VideoInfo

    class Named:
        name = "named"

        def __len__(self) -> int:
            return SIZE

        def info(self, index: int) -> VideoInfo:
            return VideoInfo(f"v{index}", f"v{index}.mp4")

    path = tmp_path_factory.mktemp("torn") / "bad.jsonl"
    BadExamples(Named(), path, 1.0).update(batch(0, 1, bad=(0, 1)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut % len(whole)])
    kept = [row["id"] for row in read_bad_examples(path)]
    assert kept == ["v0", "v1"][: len(kept)]
    bad = BadExamples(Named(), path, 1.0)
    bad.update(batch(2, bad=(2,)))
    bad.update(batch(0, 1, 3, bad=(0, 1, 3)))
    listed = [row["id"] for row in read_bad_examples(path)]
    assert sorted(listed) == ["v0", "v1", "v2", "v3"]
    assert BadExamples(Named(), path, 1.0).get_state() == {"examples": 0, "bad": []}


def test_the_limit(source, path) -> None:
    bad = BadExamples(source, path, 0.1)
    bad.update(batch(*range(10), bad=(0, 1, 2)))  # half of the videos: too early to judge
    with pytest.raises(
        UserError, match=r"3 of 20 videos .* data.max_bad_fraction = 0.1; .*bad.jsonl"
    ):
        bad.update(batch(*range(10, 20)))
    exactly = BadExamples(source, path, 0.1)
    exactly.update(batch(*range(20), bad=(0, 1)))
    exactly.update(batch(*range(20), bad=(0, 1)))
    with pytest.raises(UserError, match="3 of 20"):
        exactly.update(batch(2, bad=(2,)))


def test_a_limit_of_zero_and_of_one(source, path) -> None:
    everything = tuple(range(SIZE))
    BadExamples(source, path, 1.0).update(batch(*everything, bad=everything))
    with pytest.raises(UserError, match="1 of 20"):
        BadExamples(source, path, 0.0).update(batch(*everything, bad=(7,)))


def test_padding_counts_neither_as_bad_nor_as_seen(source, path) -> None:
    bad = BadExamples(source, path, 0.1)
    bad.update(batch(0, 1, 2, *[-1] * 30, bad=(0, 1, 2)))
    assert bad.get_state() == {"examples": 3, "bad": [0, 1, 2]}
