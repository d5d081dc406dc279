"""Embeddings as a Parquet table, one row per video, readable by pandas, DuckDB and the like."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
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
) -> int:
    """Writes the table with columns id, path, label (name), label_index, vector (float32 [D]).

    The file appears only once it is complete. The schema's metadata names the checkpoint step
    (`step`) and the configuration (`config`).

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

    Returns:
      The number of rows written.

    Raises:
      ValueError: the arguments differ in length.
    """
    lengths = {len(ids), len(paths), len(labels_N), len(vectors_NxD), len(valid_N)}
    if len(lengths) != 1:
        raise ValueError(f"write_embeddings: columns of different lengths {sorted(lengths)}")
    rows = np.flatnonzero(valid_N).tolist()
    vectors = np.ascontiguousarray(vectors_NxD[rows], np.float32)
    labels = [int(label) if label >= 0 else None for label in np.asarray(labels_N)[rows]]
    names = [classes[i] if i is not None and i < len(classes) else None for i in labels]
    vector_type = pa.list_(pa.float32(), vectors.shape[1])
    table = pa.table(
        {
            "id": pa.array([ids[i] for i in rows], pa.string()),
            "path": pa.array([paths[i] for i in rows], pa.string()),
            "label": pa.array(names, pa.string()),
            "label_index": pa.array(labels, pa.int64()),
            "vector": pa.FixedSizeListArray.from_arrays(vectors.ravel(), type=vector_type),
        }
    ).replace_schema_metadata({"step": str(step), "config": config_name})
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    pq.write_table(table, unfinished)
    unfinished.replace(path)
    return len(rows)


def read_embeddings(path: str | os.PathLike[str]) -> Embeddings:
    """Reads back what `write_embeddings` wrote.

    Raises:
      FileNotFoundError: there is no such file.
    """
    table = pq.read_table(path)
    vector = table["vector"]
    dimension = vector.type.list_size
    values = vector.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Embeddings(
        ids=table["id"].to_pylist(),
        vectors_NxD=values.reshape(-1, dimension),
        labels_N=table["label_index"].fill_null(-1).to_numpy(),
    )
