"""What is said of a moving shape: which it is, what it does and, if that lasts, its colour."""

from __future__ import annotations

import itertools

import numpy as np

from data_pipelines.sources.moving_shapes.render import COLOURS, SHAPES
from data_pipelines.sources.moving_shapes.trajectory import MOTIONS
from data_pipelines.video import Caption

SENTENCE_SECONDS = 1.0
"""Time from one sentence to the next."""

_NAMES = {
    "square": ("square", "box"),
    "bar": ("bar", "stick"),
    "cross": ("cross", "plus sign"),
    "arc": ("arc", "bent line"),
}
_ACTIONS = {
    "sliding": ("slides from side to side", "glides to and fro", "moves left and right"),
    "bouncing": ("bounces up and down", "hops on the spot", "jumps again and again"),
    "pulsing": ("grows and shrinks", "gets larger and smaller", "swells like a balloon"),
    "rocking": ("rocks on its axis", "turns this way and that", "tilts like a seesaw"),
}
_TEMPLATES = (
    "a {colour} {shape} {action}",
    "here the {colour} {shape} {action}",
    "see how a {colour} {shape} {action}",
    "in this video a {colour} {shape} {action}",
    "it is a {colour} {shape} that {action}",
)


def describe(rng: np.random.Generator, shape: str, motion: str, colour: str) -> str:
    """Draws a sentence.

    Args:
      rng: the random generator to draw from.
      shape: one of `SHAPES`.
      motion: one of `MOTIONS`.
      colour: one of `COLOURS`, "" to say nothing of it.
    """
    template, name, action = (
        choices[rng.integers(len(choices))]
        for choices in (_TEMPLATES, _NAMES[shape], _ACTIONS[motion])
    )
    words = template.format(colour=colour, shape=name, action=action).split()
    for place, (word, following) in enumerate(itertools.pairwise(words)):
        if word == "a" and following[0] in "aeiou":
            words[place] = "an"
    return " ".join(words)


def narrate(
    rng: np.random.Generator,
    shape: str,
    motion: str,
    colour: str,
    *,
    seconds: float,
    noise: float,
    delay: float,
) -> tuple[Caption, ...]:
    """Draws what is said during a video: a sentence in every `SENTENCE_SECONDS`.

    Args:
      rng: the random generator to draw from.
      shape: one of `SHAPES`.
      motion: one of `MOTIONS`.
      colour: one of `COLOURS`, "" to say nothing of it.
      seconds: duration of the video.
      noise: probability in [0, 1] that a sentence is about another, randomly drawn video.
      delay: seconds by which all come too late.
    """
    captions = []
    for number in range(max(1, round(seconds / SENTENCE_SECONDS))):
        said = (shape, motion, colour)
        other = tuple(choices[rng.integers(len(choices))] for choices in (SHAPES, MOTIONS, COLOURS))
        if rng.random() < noise:
            said = (*other[:2], other[2] if colour else "")
        start = number * SENTENCE_SECONDS + delay
        captions.append(Caption(describe(rng, *said), start, start + SENTENCE_SECONDS))
    return tuple(captions)


def _words() -> tuple[str, ...]:
    sentences = [
        *(template.format(colour="", shape="", action="") for template in _TEMPLATES),
        *itertools.chain(*_NAMES.values(), *_ACTIONS.values()),
        *COLOURS,
        "an",
    ]
    return tuple(sorted({word for sentence in sentences for word in sentence.split()}))


VOCABULARY = ("<pad>", "<unk>", *_words())
"""Every word of these sentences, by its number."""
