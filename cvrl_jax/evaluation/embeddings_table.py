"""Embeddings as a Parquet table, one row per video, readable by pandas, DuckDB and the like."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


class Embeddings(NamedTuple):
    """What a table holds.

    Attributes:
      ids: of the videos.
      vectors_NxD: float32.
      labels_N: int64 class indices, -1 where a video has no label.
    """

    ids: list[str]
    vectors_NxD: np.ndarray
    labels_N: np.ndarray


def write_embeddings(
    path: str | os.PathLike[str],
    *,
    ids: Sequence[str],
    paths: Sequence[str],
    labels_N: np.ndarray,
    vectors_NxD: np.ndarray,
    valid_N: np.ndarray,
    classes: Sequence[str],
    step: int,
    config_name: str,
    more: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> int:
    """Writes the table with columns id, path, label (name), label_index, vector (float32 [D]).

    Further columns are those of `more`. The file appears only once it is complete. The schema's
    metadata names the checkpoint step (`step`) and the configuration (`config`).

    Args:
      path: the file to write; its folder is made where it is missing.
      ids: of the videos, N of them.
      paths: their files, "" where there is none.
      labels_N: int, -1 (null in the table) where a video has no label.
      vectors_NxD: one vector per video.
      valid_N: bool; rows that are False (videos that could not be read) are left out.
      classes: names by label, () where there are none.
      step: of the checkpoint the vectors come from.
      config_name: of the configuration it was trained with.
      more: further columns by name, each (vectors, which of them mean something): [N, D] and bool
        [N], null in the table where False; or [N, K, D] and bool [N, K], a list in the table of
        those that are True.

    Returns:
      The number of rows written.

    Raises:
      ValueError: the arguments differ in length.
    """
    more = more or {}
    lengths = {len(ids), len(paths), len(labels_N), len(vectors_NxD), len(valid_N)}
    lengths |= {len(values) for values, _ in more.values()}
    if len(lengths) != 1:
        raise ValueError(f"write_embeddings: columns of different lengths {sorted(lengths)}")
    rows = np.flatnonzero(valid_N).tolist()
    labels = [int(label) if label >= 0 else None for label in np.asarray(labels_N)[rows]]
    names = [classes[i] if i is not None and i < len(classes) else None for i in labels]
    table = pa.table(
        {
            "id": pa.array([ids[i] for i in rows], pa.string()),
            "path": pa.array([paths[i] for i in rows], pa.string()),
            "label": pa.array(names, pa.string()),
            "label_index": pa.array(labels, pa.int64()),
            "vector": _vectors(vectors_NxD[rows]),
        }
        | {name: _lists(values[rows], present[rows]) for name, (values, present) in more.items()}
    ).replace_schema_metadata({"step": str(step), "config": config_name})
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    pq.write_table(table, unfinished)
    unfinished.replace(path)
    return len(rows)


def _vectors(vectors_NxD: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(
        np.ascontiguousarray(vectors_NxD, np.float32).ravel(),
        type=pa.list_(pa.float32(), vectors_NxD.shape[1]),
    )


def _lists(values: np.ndarray, present: np.ndarray) -> pa.Array:
    present = present.astype(bool)
    if present.ndim == 2:  # the sentences of a video
        ends = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), _vectors(values[present]))
    # Parquet has no missing vectors of a fixed size.
    ends = np.concatenate([[0], np.cumsum(present)]) * values.shape[1]
    flat = pa.array(np.ascontiguousarray(values[present], np.float32).ravel())
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat, mask=pa.array(~present))


def vectors_in(table: pa.Table) -> np.ndarray:
    """The column `vector` of a table that `write_embeddings` wrote: float32 [N, D]."""
    column = table["vector"]
    values = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(-1, column.type.list_size)


def read_embeddings(path: str | os.PathLike[str]) -> Embeddings:
    """Reads back what `write_embeddings` wrote.

    Raises:
      FileNotFoundError: there is no such file.
    """
    table = pq.read_table(path)
    return Embeddings(
        ids=table["id"].to_pylist(),
        vectors_NxD=vectors_in(table),
        labels_N=table["label_index"].fill_null(-1).to_numpy(),
    )
