import itertools
import json
import multiprocessing
import os
import pathlib
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.errors import UserError
from data_pipelines.order import LastBatch
from data_pipelines.pipeline import Batch, TrainBatches, evaluation_batches
from data_pipelines.sources.files import FileSource, VideoFile
from data_pipelines.sources.moving_shapes import MovingShapes
from data_pipelines.spec import InputSpec
from data_pipelines.video import Video

PAIRS = InputSpec(clips=2, frames=2, stride=1, size=8)
EVEN = InputSpec(clips=2, frames=2, stride=1, size=8, sampling="even", crop="center")


def shapes(videos: int) -> MovingShapes:
    return MovingShapes(videos, seed=0, size=16, frames=10)


def take(
    steps: int, videos: int = 10, batch_size: int = 4, state: dict | None = None, **options
) -> list[Batch]:
    options = {"seed": 3} | options
    batches = TrainBatches(shapes(videos), PAIRS, batch_size=batch_size, **options)
    if state is not None:
        batches.set_state(state)
    got = list(itertools.islice(batches, steps))
    batches.close()
    return got


def take_state(steps: int, last: LastBatch) -> dict:
    batches = TrainBatches(shapes(10), PAIRS, batch_size=4, seed=3, last_batch=last)
    for _ in range(steps):
        next(batches)
    batches.close()
    return batches.get_state()


def assert_same(got: list[Batch], expected: list[Batch]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key].dtype == b[key].dtype
            np.testing.assert_array_equal(a[key], b[key])


def indices(batches: list[Batch]) -> list[list[int]]:
    return [batch["index"].tolist() for batch in batches]


def test_what_a_batch_holds() -> None:
    (batch,) = take(1)
    assert {key: (value.dtype.kind, value.shape) for key, value in batch.items()} == {
        "index": ("i", (4,)),
        "label": ("i", (4,)),
        "video": ("u", (4, 2, 2, 8, 8, 3)),
        "start": ("f", (4, 2)),
        "valid": ("b", (4,)),
        "error": ("U", (4,)),
    }
    assert [batch[key].dtype.itemsize for key in ("index", "label", "video", "start")] == [
        8, 4, 1, 4,
    ]  # fmt: skip
    assert batch["valid"].all()
    assert batch["label"].tolist() == [shapes(10).info(i).label for i in batch["index"]]


@pytest.mark.parametrize("hosts", [2, 4])
def test_the_batches_of_all_hosts_one_after_the_other_are_the_batch(hosts: int) -> None:
    whole = take(5)
    parts = [take(5, host=(host, hosts)) for host in range(hosts)]
    for batch, *of_hosts in zip(whole, *parts):
        for key, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([p[key] for p in of_hosts]), value)


@settings(max_examples=12)
@given(
    videos=st.integers(1, 12),
    share=st.floats(0, 1),
    done=st.integers(0, 7),
    drawn=st.integers(0, 3),
    seed=st.integers(0, 2**31),
    last=st.sampled_from(["drop", "pad"]),
)
def test_a_restored_position_goes_on_exactly(videos, share, done, drawn, seed, last) -> None:
    options = {"batch_size": max(1, round(share * videos)), "seed": seed, "last_batch": last}
    batches = TrainBatches(shapes(videos), PAIRS, **options)
    for _ in range(done):
        next(batches)
    state = json.loads(json.dumps(batches.get_state()))
    following = [next(batches) for _ in range(3)]
    batches.set_state(state)  # back, in the same object
    assert_same([next(batches) for _ in range(2)], following[:2])
    batches.close()
    other = TrainBatches(shapes(videos), PAIRS, **options)
    for _ in range(drawn):  # a position of its own, to be forgotten
        next(other)
    other.set_state(state)
    assert other.get_state() == state
    assert_same([next(other) for _ in range(3)], following)
    other.close()


@pytest.mark.parametrize(("workers", "last"), [(1, "drop"), (2, "pad"), (5, "pad")])
def test_batches_and_positions_are_the_same_for_any_number_of_workers(workers, last) -> None:
    expected = take(6, last_batch=last)
    batches = TrainBatches(
        shapes(10), PAIRS, batch_size=4, seed=3, last_batch=last, workers=workers
    )
    assert_same([next(batches) for _ in range(3)], expected[:3])
    state = batches.get_state()
    assert_same([next(batches) for _ in range(3)], expected[3:])
    assert_same(take(3, state=state, last_batch=last), expected[3:])
    batches.set_state(take_state(2, last))
    assert_same([next(batches) for _ in range(4)], expected[2:])
    batches.close()
    (part,) = take(1, state=take_state(2, last), last_batch=last, host=(1, 2))
    np.testing.assert_array_equal(part["video"], np.split(expected[2]["video"], 2)[1])


@pytest.mark.parametrize("hosts", [1, 4])
def test_padding_of_an_epoch_is_told_from_its_videos(hosts: int) -> None:
    """Of 5 videos in batches of 4 the second batch has one; three of four hosts have none."""
    parts = [
        take(4, videos=5, last_batch="pad", host=(host, hosts), workers=0) for host in range(hosts)
    ]
    steps = [{key: np.concatenate([p[key] for p in of]) for key in of[0]} for of in zip(*parts)]
    for first, second in (steps[:2], steps[2:]):
        assert first["valid"].all()
        assert sorted([*first["index"], second["index"][0]]) == list(range(5))
        assert second["index"][1:].tolist() == second["label"][1:].tolist() == [-1] * 3
        assert second["valid"].tolist() == [True, False, False, False]
        assert second["error"].tolist() == [""] * 4
        assert second["video"][0].any()
        assert not second["video"][1:].any()


@settings(max_examples=12)
@given(videos=st.integers(2, 40), batch_size=st.integers(1, 12), seed=st.integers(0, 2**31))
def test_an_epoch_holds_no_video_twice(videos, batch_size, seed) -> None:
    batch_size = min(batch_size, videos)
    steps = videos // batch_size
    tiny = InputSpec(clips=1, frames=1, stride=1, size=1, sampling="even", crop="center")
    batches = TrainBatches(shapes(videos), tiny, batch_size=batch_size, seed=seed)
    for _ in range(3):
        epoch = np.concatenate(indices([next(batches) for _ in range(steps)]))
        assert len(set(epoch)) == len(epoch) == steps * batch_size
    batches.close()


def test_every_epoch_is_a_new_shuffle_with_another_leftover() -> None:
    steps = 35 // 8
    batches = indices(take(5 * steps, videos=35, batch_size=8))
    epochs = np.reshape(batches, (5, steps * 8)).tolist()
    assert len({tuple(epoch) for epoch in epochs}) == 5
    assert epochs[0] != sorted(epochs[0])
    leftovers = {frozenset(range(35)) - frozenset(epoch) for epoch in epochs}
    assert len(leftovers) == 5
    assert set().union(*epochs) == set(range(35))
    assert indices(take(1, videos=35, batch_size=8, seed=4))[0] != batches[0]


def test_clips_and_crops_differ_between_epochs() -> None:
    first, second = take(2, videos=1, batch_size=1)
    assert (first["video"] != second["video"]).any()


def test_fewer_videos_than_a_batch() -> None:
    with pytest.raises(UserError, match=r"3 videos are fewer than batch_size = 4; .*batch_size=3"):
        take(1, videos=3)
    assert sorted(indices(take(1, videos=4))[0]) == [0, 1, 2, 3]
    for batch in indices(take(2, videos=3, last_batch="pad")):
        assert sorted(batch) == [-1, 0, 1, 2]


@pytest.fixture
def half_broken(tmp_path: pathlib.Path, make_video) -> FileSource:
    names = ("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    for name in names[::2]:
        make_video(tmp_path / name)
    (tmp_path / "b.mp4").write_bytes(b"")
    (tmp_path / "d.mp4").write_bytes(b"no video" * 100)
    return FileSource("files", tuple(map(VideoFile, names)), (), str(tmp_path))


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_travel_from_workers(workers: int, half_broken: FileSource) -> None:
    batches = TrainBatches(half_broken, PAIRS, batch_size=2, seed=0, workers=workers)
    seen = {}
    for batch in itertools.islice(batches, 4):
        for index, valid, error in zip(batch["index"], batch["valid"], batch["error"]):
            seen.setdefault(int(index), set()).add((bool(valid), str(error)))
    batches.close()
    assert seen[0] == seen[2] == {(True, "")}
    for index in (1, 3):
        ((valid, error),) = seen[index]
        assert not valid
        assert len(error) > 5


@pytest.mark.parametrize(
    ("videos", "batch_size", "workers"), [(1, 4, 0), (5, 4, 0), (8, 4, 0), (5, 1, 0), (9, 2, 2)]
)
def test_an_evaluation_sees_each_video_once_in_order(videos, batch_size, workers) -> None:
    def batches() -> list[Batch]:
        return list(
            evaluation_batches(shapes(videos), EVEN, batch_size=batch_size, workers=workers)
        )

    got = batches()
    joined = {key: np.concatenate([batch[key] for batch in got]) for key in got[0]}
    assert {len(batch["index"]) for batch in got} == {batch_size}
    assert len(got) == -(-videos // batch_size)
    assert joined["index"][:videos].tolist() == list(range(videos))
    assert joined["valid"].tolist() == [True] * videos + [False] * (len(joined["valid"]) - videos)
    assert (joined["index"][videos:] == -1).all()
    assert (joined["label"][videos:] == -1).all()
    assert joined["label"][:videos].tolist() == [
        shapes(videos).info(i).label for i in range(videos)
    ]
    assert not joined["video"][videos:].any()
    assert (joined["error"] == "").all()
    if not workers:
        assert_same(batches(), got)
    else:
        assert_same(got, list(evaluation_batches(shapes(videos), EVEN, batch_size=batch_size)))


def test_an_evaluation_can_begin_further_on() -> None:
    whole = list(evaluation_batches(shapes(7), EVEN, batch_size=2))
    assert_same(list(evaluation_batches(shapes(7), EVEN, batch_size=2, first=4)), whole[2:])
    assert list(evaluation_batches(shapes(7), EVEN, batch_size=2, first=7)) == []


@pytest.mark.parametrize(("videos", "batch_size", "first"), [(9, 4, 0), (8, 4, 0), (9, 3, 2)])
def test_hosts_read_each_video_of_an_evaluation_once(videos, batch_size, first) -> None:
    parts = [
        list(
            evaluation_batches(
                shapes(videos), EVEN, batch_size=batch_size, first=first, host=(host, 2)
            )
        )
        for host in range(2)
    ]
    rounded = batch_size + batch_size % 2
    whole = list(evaluation_batches(shapes(videos), EVEN, batch_size=rounded, first=first))
    assert len(parts[0]) == len(parts[1]) == len(whole)
    for one, other, together in zip(*parts, whole):
        assert len(one["index"]) == len(other["index"])
        for key, value in together.items():
            np.testing.assert_array_equal(np.concatenate([one[key], other[key]]), value)


def test_padding_is_told_from_a_broken_video(half_broken: FileSource) -> None:
    *_, last = evaluation_batches(half_broken, EVEN, batch_size=3)
    assert last["index"].tolist() == [3, -1, -1]
    assert not last["valid"].any()
    assert [bool(error) for error in last["error"]] == [True, False, False]


@pytest.mark.parametrize("workers", [0, 1])
def test_closing_early_and_twice_leaves_no_process(workers: int, capfd) -> None:
    batches = TrainBatches(shapes(10), PAIRS, batch_size=4, seed=0, workers=workers)
    batches.close()  # before the first batch
    batches = TrainBatches(shapes(10), PAIRS, batch_size=4, seed=0, workers=workers)
    next(batches)
    batches.close()
    batches.close()
    evaluation = evaluation_batches(shapes(10), EVEN, batch_size=2, workers=workers)
    next(evaluation)
    evaluation.close()
    assert not [p for p in multiprocessing.active_children() if p.is_alive()]
    assert "Traceback" not in capfd.readouterr().err


class Trap(MovingShapes):
    """Video 1 never comes back, video 2 kills its process."""

    def open(self, index: int) -> Video:
        if index == 1:
            time.sleep(60)
        if index == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().open(index)


def test_a_decoder_that_hangs_or_crashes_costs_one_example() -> None:
    source = Trap(6, seed=0, size=16, frames=10)
    (batch,) = evaluation_batches(source, EVEN, batch_size=6, workers=2, timeout=2.0)
    assert batch["valid"].tolist() == [True, False, False, True, True, True]
    assert "took more than 2 s" in batch["error"][1]
    assert "crashed" in batch["error"][2]
    (whole,) = evaluation_batches(shapes(6), EVEN, batch_size=6)
    for row in (0, 3, 4, 5):
        np.testing.assert_array_equal(batch["video"][row], whole["video"][row])
    assert not batch["video"][[1, 2]].any()
