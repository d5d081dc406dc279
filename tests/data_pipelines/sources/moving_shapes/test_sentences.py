from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines.sources.moving_shapes import VOCABULARY, MovingShapes
from data_pipelines.sources.moving_shapes.render import COLOURS, SHAPES
from data_pipelines.sources.moving_shapes.sentences import _ACTIONS, _NAMES, describe
from data_pipelines.sources.moving_shapes.trajectory import MOTIONS


def truth(sentence: str) -> tuple[set[str], set[str], set[str]]:
    """The shapes, motions and colours that a sentence speaks of."""
    shapes = {s for s, names in _NAMES.items() for n in names if f" {n} " in f" {sentence} "}
    motions = {m for m, actions in _ACTIONS.items() for a in actions if sentence.endswith(a)}
    return shapes, motions, {colour for colour in COLOURS if colour in sentence.split()}


@given(
    st.integers(0, 999),
    st.sampled_from(SHAPES),
    st.sampled_from(MOTIONS),
    st.sampled_from(("", *COLOURS)),
)
def test_a_sentence_says_what_there_is_and_nothing_else(seed, shape, motion, colour) -> None:
    sentence = describe(np.random.default_rng(seed), shape, motion, colour)
    assert truth(sentence) == ({shape}, {motion}, {colour} if colour else set())
    assert set(sentence.split()) <= set(VOCABULARY)
    assert len(sentence.split()) <= 16  # all of it fits into VATT's limit
    assert " a a" not in f" {sentence}"
    assert " a o" not in f" {sentence}"


def test_there_are_many_ways_to_say_it() -> None:
    rng = np.random.default_rng(0)
    said = {describe(rng, "bar", "sliding", "red") for _ in range(500)}
    assert len(said) == 5 * 2 * 3
    assert VOCABULARY[:2] == ("<pad>", "<unk>")
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_the_captions_of_a_video_are_true_and_cover_it() -> None:
    source = MovingShapes(64, seed=5, constant_colour=True)
    for index in range(len(source)):
        info = source.info(index)
        shape, motion = source.classes[info.label].split("-")
        assert len(info.captions) == 5
        for second, caption in enumerate(info.captions):
            assert (caption.start, caption.end) == (second, second + 1)
            shapes, motions, colours = truth(caption.text)
            assert (shapes, motions) == ({shape}, {motion})
            assert len(colours) == 1
        assert len({min(truth(caption.text)[2]) for caption in info.captions}) == 1
    assert source.info(3) == MovingShapes(99, seed=5, constant_colour=True).info(3)


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_neighbouring_videos_can_be_told_apart_by_what_is_said(seed: int) -> None:
    """So a 64-way test can be answered in full: its ceiling is 1."""
    source = MovingShapes(512, seed=seed, split="test", constant_colour=True)
    meant = [tuple(map(min, truth(source.info(i).captions[0].text))) for i in range(512)]
    for start in range(0, 512 - 127):
        assert len(set(meant[start : start + 128])) == 128
    assert set(Counter(meant).values()) == {4}


def test_colours_are_not_named_while_they_change() -> None:
    source = MovingShapes(16, seed=0)
    assert not any(truth(c.text)[2] for i in range(16) for c in source.info(i).captions)


def test_noise_is_about_other_videos() -> None:
    def wrong(noise: float) -> float:
        source = MovingShapes(300, seed=0, constant_colour=True, caption_noise=noise)
        clean = MovingShapes(300, seed=0, constant_colour=True)
        pairs = [
            (truth(a.text), truth(b.text))
            for i in range(300)
            for a, b in zip(source.info(i).captions, clean.info(i).captions)
        ]
        return float(np.mean([a != b for a, b in pairs]))

    assert wrong(0.0) == 0.0
    assert wrong(0.3) == pytest.approx(0.3, abs=0.04)
    assert wrong(1.0) > 0.98  # one in 128 is right by chance


def test_misaligned_sentences() -> None:
    source = MovingShapes(200, seed=0, misalignment=2.0)
    delays = np.array([source.info(i).captions[0].start for i in range(200)], float)
    assert np.abs(delays).max() <= 2.0
    assert delays.std() == pytest.approx(2 / 3**0.5, rel=0.15)
    assert abs(delays.mean()) < 0.3
    for i in range(5):
        starts = np.array([c.start for c in source.info(i).captions], float)
        np.testing.assert_allclose(np.diff(starts), 1.0)
