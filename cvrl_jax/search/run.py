"""`--mode=search`: the neighbours of videos in an embedded collection, as JSON and as a page."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from cvrl_jax.downstream.frozen import listed, open_checkpoint
from cvrl_jax.encoder import LIMITS
from cvrl_jax.evaluation.features import extract_features
from cvrl_jax.evaluation.specs import evaluation_spec
from cvrl_jax.search.collection import Collection
from cvrl_jax.search.neighbours import nearest
from cvrl_jax.search.page import Card, Search, write_page
from data_pipelines.errors import BadVideo, UserError
from data_pipelines.loading import kill_after
from data_pipelines.sources.files import FileSource, VideoFile
from data_pipelines.video import Source

PAGE = "neighbours.html"
_QUERIES = 12  # chosen where none is named
_FRAMES = 24  # of a preview

log = logging.getLogger(__name__)


def search_collection(workdir: pathlib.Path, queries: Sequence[str], k: int = 5) -> dict[str, Any]:
    """Finds the nearest neighbours of some videos and shows them, playing, on one page.

    Args:
      workdir: where `--mode=embed` wrote.
      queries: files, or ids of videos of the collection; () takes some of the collection itself,
        evenly spread (of its test videos if it has some). A video is no neighbour of itself.
      k: neighbours of each.

    Returns:
      `queries`, each with its `neighbours` (id, path, label, split, similarity), and the `page`.

    Raises:
      UserError: nothing is embedded there, or a query is no readable video.
    """
    if k < 1:
        raise UserError(f"--neighbours={k} must be at least 1")
    collection = Collection.open(workdir)
    asked = _asked(collection, queries)
    sources = collection.sources()
    files = [query for query in asked if isinstance(query, str)]
    of_files = dict(zip(files, _embed_files(collection, files)))
    vectors = np.stack(
        [of_files[q] if isinstance(q, str) else collection.vectors_NxD[q] for q in asked]
    )
    index = workdir / "embeddings.usearch"
    if index.exists() and index.stat().st_mtime < (workdir / "embeddings.json").stat().st_mtime:
        index.unlink()
    rows_Mxk, similarities_Mxk = nearest(collection.vectors_NxD, vectors, k + 1, index)
    previews = _Previews(collection, sources)
    found, shown = [], []
    for query, rows, similarities in zip(asked, rows_Mxk.tolist(), similarities_Mxk.tolist()):
        pairs = [(row, s) for row, s in zip(rows, similarities) if row != query][:k]
        entries = [_entry(collection, row) | {"similarity": round(s, 4)} for row, s in pairs]
        named = {"path": query} if isinstance(query, str) else _entry(collection, query)
        found.append({"query": named, "neighbours": entries})
        cards = [previews.card(row, similarity) for row, similarity in pairs]
        shown.append(Search(previews.card(query), cards))
    page = workdir / PAGE
    write_page(page, shown, f"{len(collection.ids)} videos, step {collection.checkpoint.name}")
    return {"queries": found, "videos": len(collection.ids), "page": str(page)}


def _asked(collection: Collection, queries: Sequence[str]) -> list[str | int]:
    """Rows of the collection, or files."""
    if not queries:
        rows = [i for i, split in enumerate(collection.splits) if split == "test"]
        rows = rows or list(range(len(collection.ids)))
        chosen = np.linspace(0, len(rows) - 1, min(_QUERIES, len(rows))).round().astype(int)
        return [rows[i] for i in chosen]
    rows = {os.path.realpath(path): row for row, path in enumerate(collection.paths) if path}
    rows |= {id_: row for row, id_ in enumerate(collection.ids)}
    asked: list[str | int] = []
    for query in queries:
        path = os.path.expanduser(query)
        row = rows.get(query, rows.get(os.path.realpath(path)))
        if row is None and not os.path.isfile(path):
            raise UserError(f"--query={query}: no such file, and no video of the collection")
        asked.append(path if row is None else row)
    return asked


def _embed_files(collection: Collection, files: list[str]) -> np.ndarray:
    """Vectors of other files, made as those of the collection were."""
    if not files:
        return np.zeros((0, collection.vectors_NxD.shape[1]), np.float32)
    opened = open_checkpoint(collection.config, collection.checkpoint)
    config = opened.config
    features = extract_features(
        opened.network.embed,
        _files(files),
        evaluation_spec(config, config.eval.clips, config.eval.crops, opened.network.inputs),
        batch_size=config.eval.batch_size,
        timeout=kill_after(config.data),
    )
    for entry in listed(features.left_out):
        raise UserError(f"--query={entry['path']} cannot be read: {entry['reason']}")
    return features.mean_NxD


def _files(files: Sequence[str]) -> FileSource:
    return FileSource("files", tuple(map(VideoFile, files)), classes=(), root="", limits=LIMITS)


def _entry(collection: Collection, row: int) -> dict[str, Any]:
    return {
        "id": collection.ids[row],
        "path": collection.paths[row],
        "label": collection.labels[row],
        "split": collection.splits[row],
    }


@dataclasses.dataclass(frozen=True)
class _Previews:
    """Short clips of videos of a collection or of files."""

    collection: Collection
    sources: dict[str, tuple[Source, dict[str, int]]]

    def card(self, video: int | str, similarity: float | None = None) -> Card:
        if isinstance(video, str):
            clip, fps = _clip(_files([video]), 0)
            return Card(pathlib.PurePath(video).name, None, clip, fps, similarity)
        source, indices = self.sources[self.collection.splits[video]]
        index = indices.get(self.collection.ids[video])
        clip, fps = (None, 0.0) if index is None else _clip(source, index)
        label = self.collection.labels[video]
        return Card(self.collection.title(video), label, clip, fps, similarity)


def _clip(source: Source, index: int) -> tuple[np.ndarray | None, float]:
    """Frames spread over a video, uint8 [T, H, W, 3], and how many a second; None if unreadable."""
    try:
        with contextlib.closing(source.open(index)) as video:
            seconds = float(video.times[-1])
            frames = min(_FRAMES, len(video.times))
            rows = np.linspace(0, len(video.times) - 1, frames).round().astype(int)
            clip = np.stack(video.frames(rows.tolist()))
        return clip, max(frames / max(seconds, 0.04), 6.0)
    except BadVideo as error:
        log.warning("no preview of %s: %s", source.info(index).path, error)
        return None, 0.0
