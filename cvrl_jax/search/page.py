"""The page of a search: one HTML file, no network, no script; every video plays in it."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from cvrl_jax.observe.report import svg
from cvrl_jax.observe.report.filmstrips import animation
from data_pipelines.pages import render, write_whole

_SIDE = 160  # pixels of a preview


@dataclasses.dataclass(frozen=True)
class Card:
    """One video.

    Attributes:
      title: what it is called.
      label: its class, None without one.
      clip_TxHxWx3: uint8, what plays; None where it cannot be read.
      fps: frames of it per second.
      similarity: to the query, None of the query itself.
    """

    title: str
    label: str | None
    clip_TxHxWx3: np.ndarray | None
    fps: float
    similarity: float | None = None


@dataclasses.dataclass(frozen=True)
class Search:
    """A query and what was found, most similar first."""

    query: Card
    found: Sequence[Card]


def write_page(path: pathlib.Path, searches: Sequence[Search], about: str) -> None:
    """Writes the page, as a whole or not at all.

    Args:
      path: where to.
      searches: to show, one below the other.
      about: one line on the collection.
    """
    contents = {
        "about": about,
        "light": svg.css_variables(),
        "dark": svg.css_variables(dark=True),
        "rows": [
            [_shown(card, search.query) for card in (search.query, *search.found)]
            for search in searches
        ],
    }
    write_whole(path, render("cvrl_jax.search", "page.html.j2", contents))


def _shown(card: Card, query: Card) -> dict[str, object]:
    clip = card.clip_TxHxWx3
    known = card.label is not None and query.label is not None and card is not query
    return {
        "title": card.title,
        "label": card.label,
        "similarity": None if card.similarity is None else f"{card.similarity:.2f}",
        "image": None if clip is None else animation(clip, card.fps, _SIDE),
        "right": card.label == query.label if known else None,
    }
