import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.spec import TextSpec
from data_pipelines.text import nearest_sentences, read_text
from data_pipelines.video import Caption


def order(captions: list[Caption], start: float, end: float, **options) -> list[str]:
    return [caption.text for caption in nearest_sentences(captions, start, end, **options)]


def test_overlap_comes_first_then_time_between() -> None:
    captions = [
        Caption("far before", 0, 1),
        Caption("just before", 3, 3.9),
        Caption("overlaps the beginning", 3, 4.5),
        Caption("inside", 4.9, 5.1),
        Caption("just after", 6.2, 9),
        Caption("always"),  # from 0 to the end of the video
    ]
    assert (
        order(captions, 4, 6)
        == [
            "inside",
            "always",
            "overlaps the beginning",
            "just before",
            "just after",
            "far before",
        ]
        or order(captions, 4, 6)[0] == "always"
    )
    assert order(captions, 4, 6, seconds=20)[:3] == [
        "inside",
        "overlaps the beginning",
        "always",
    ]
    assert order(captions, 4, 6)[-3:] == ["just before", "just after", "far before"]


times = st.floats(0, 20)
spans = st.tuples(times, times).map(sorted)
captions_of_times = st.lists(spans.map(lambda s: Caption("x", *s)), max_size=12)


@given(captions_of_times, spans)
def test_the_order_is_that_of_the_distance_in_time(captions, stretch) -> None:
    start, end = stretch

    def gap(caption: Caption) -> float:
        return max(0.0, caption.start - end, start - caption.end)

    got = list(nearest_sentences(captions, start, end))
    assert sorted(map(id, got)) == sorted(map(id, captions))
    gaps = [gap(caption) for caption in got]
    assert gaps == sorted(gaps)
    middles = [abs(c.start + c.end - start - end) for c in got if gap(c) == 0]
    assert middles == sorted(middles)


def test_sentences_of_another_video_are_left_out() -> None:
    captions = [Caption("here", 1, 2), Caption("across the end", 9, 14), Caption("beyond", 11, 12)]
    assert order(captions, 0, 1, seconds=10.0) == ["here", "across the end"]
    assert order([Caption("gone", -3, -1), Caption("late", -1, 1)], 0, 1) == ["late"]


def test_chance_decides_only_between_equals() -> None:
    equal = [Caption(name) for name in "abcdefgh"]
    assert order(equal, 0, 1) == list("abcdefgh")
    drawn = {"".join(order(equal, 0, 1, rng=np.random.default_rng(seed))) for seed in range(9)}
    assert len(drawn) == 9
    assert order(equal, 0, 1, rng=np.random.default_rng(4)) == order(
        equal, 0, 1, rng=np.random.default_rng(4)
    )
    timed = [Caption(str(t), t, t + 1) for t in range(8)]
    for seed in range(9):
        assert order(timed, 2.1, 2.6, rng=np.random.default_rng(seed)) == order(timed, 2.1, 2.6)


def test_what_a_batch_holds() -> None:
    captions = [
        Caption("...", 0, 1),  # no word in it
        Caption("a red square", 0, 1),
        Caption("elephants dance", 5, 6),
        Caption(" ".join(["red"] * 9), 7, 8),
    ]
    text = read_text(captions, TextSpec(5, 4), (0, 1))
    assert text.dtype == np.int32
    assert text.shape == (5, 4)
    assert (text[0] > 1).tolist() == [True, True, True, False]
    assert text[1].tolist() == [1, 1, 0, 0]  # unknown words
    assert (text[2] > 1).all()  # cut off
    assert not text[3:].any()
    assert not read_text((), TextSpec(), (0, 1)).any()
    assert read_text(captions, TextSpec(1, 4), (0, 1)).tolist() == text[:1].tolist()


@pytest.mark.parametrize("seconds", [math.inf, 3.0])
def test_open_ended_times(seconds: float) -> None:
    captions = [Caption("from two on", 2), Caption("until one", None, 1)]
    assert order(captions, 2.5, 2.9, seconds=seconds) == ["from two on", "until one"]
    assert order(captions, 0.0, 0.5, seconds=seconds) == ["until one", "from two on"]
