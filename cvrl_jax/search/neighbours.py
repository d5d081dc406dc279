"""Nearest neighbours by cosine similarity, exact for small collections, by an index for large."""

from __future__ import annotations

import pathlib

import numpy as np
from usearch.index import Index, search

EXACT_UP_TO = 50_000
"""Vectors compared one by one; above, a graph of neighbours (HNSW, arXiv 1603.09320) is walked."""


def nearest(
    vectors_NxD: np.ndarray,
    queries_MxD: np.ndarray,
    k: int,
    index_file: pathlib.Path | None = None,
    exact_up_to: int = EXACT_UP_TO,
) -> tuple[np.ndarray, np.ndarray]:
    """The `k` vectors of highest cosine similarity to each query.

    Args:
      vectors_NxD: to search in, at least one.
      queries_MxD: at least one.
      k: at least 1; all N where there are fewer.
      index_file: where the index of a large collection is kept for the next search; whoever changes
        the vectors deletes it. An index of another number or length of vectors is made anew.
      exact_up_to: above so many vectors they are searched by the index, which finds nearly all.

    Returns:
      Rows int64 [M, k], most similar first, and similarities float32 [M, k].
    """
    k = min(k, len(vectors_NxD))
    vectors = np.ascontiguousarray(vectors_NxD, np.float32)
    queries = np.ascontiguousarray(queries_MxD, np.float32)
    if len(vectors) <= exact_up_to:
        found = search(vectors, queries, k, "cos", exact=True)
    else:
        found = _index(vectors, index_file).search(queries, k)
    rows = np.asarray(found.keys).reshape(len(queries), k).astype(np.int64)
    similarities = 1 - np.asarray(found.distances, np.float32).reshape(len(queries), k)
    return rows, similarities


def _index(vectors: np.ndarray, file: pathlib.Path | None) -> Index:
    if file is not None and file.exists():
        index = Index.restore(str(file), view=True)
        if index is not None and (len(index), index.ndim) == vectors.shape:
            return index
    index = Index(ndim=vectors.shape[1], metric="cos", dtype="f32")
    index.add(np.arange(len(vectors)), vectors)
    if file is not None:
        unfinished = file.with_name(file.name + ".unfinished")
        index.save(str(unfinished))
        unfinished.replace(file)
    return index
