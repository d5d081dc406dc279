"""Which sentences belong to a clip."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from data_pipelines.spec import TextSpec
from data_pipelines.text.tokenizer import load_tokenizer
from data_pipelines.video import Caption


def read_text(
    captions: Sequence[Caption],
    spec: TextSpec,
    stretch: tuple[float, float],
    seconds: float = math.inf,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Returns the K sentences nearest to a stretch of time as numbers: int32 [K, L], 0 = padding.

    Rows of zeros come last. The arguments are those of `chosen_sentences`.
    """
    text_KxL = np.zeros((spec.sentences, spec.tokens), np.int32)
    for row, (_, ids) in enumerate(chosen_sentences(captions, spec, stretch, seconds, rng)):
        text_KxL[row, : len(ids)] = ids
    return text_KxL


def chosen_sentences(
    captions: Sequence[Caption],
    spec: TextSpec,
    stretch: tuple[float, float],
    seconds: float = math.inf,
    rng: np.random.Generator | None = None,
) -> list[tuple[str, list[int]]]:
    """Returns the sentences nearest to a stretch of time, at most K, each with its numbers.

    Sentences without a word count as none.

    Args:
      captions: of the video.
      spec: how many sentences of how many tokens, and which number each word has.
      stretch: when the clip begins and ends, seconds.
      seconds: duration of the video.
      rng: decides between sentences that are equally near, None for the first.
    """
    tokenizer = load_tokenizer(spec.tokenizer, spec.tokens)
    chosen: list[tuple[str, list[int]]] = []
    for caption in nearest_sentences(captions, *stretch, seconds=seconds, rng=rng):
        if len(chosen) == spec.sentences:
            break
        if ids := tokenizer.encode(caption.text):
            chosen.append((caption.text, ids))
    return chosen


def nearest_sentences(
    captions: Sequence[Caption],
    start: float,
    end: float,
    seconds: float = math.inf,
    rng: np.random.Generator | None = None,
) -> Iterator[Caption]:
    """Yields sentences from the nearest to a stretch of time to the farthest.

    First come those that overlap it, then the others by the time between; of equals, the one whose
    middle is nearer. Sentences without times overlap everything. Sentences that lie wholly outside
    the video are of another one, and are left out.

    Args:
      captions: all there are.
      start: of the stretch, seconds.
      end: of the stretch, seconds.
      seconds: duration of the video.
      rng: decides between sentences that are equally near, None for the first.
    """
    captions = tuple(captions)
    order = range(len(captions)) if rng is None else rng.permutation(len(captions)).tolist()
    ranked = []
    for index in order:
        caption = captions[index]
        begins = 0.0 if caption.start is None else caption.start
        ends = max(begins, seconds if caption.end is None else caption.end)
        if begins > seconds or ends < 0:
            continue
        gap = max(0.0, begins - end, start - ends)
        middle = 0.0 if math.isinf(ends) else abs(begins + ends - start - end) / 2
        ranked.append((gap, middle, index))
    ranked.sort(key=lambda place: place[:2])  # stable: `order` decides between equals
    return (captions[index] for *_, index in ranked)
