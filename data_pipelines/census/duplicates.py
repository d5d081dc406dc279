"""Files of equal content, and which one of them a cleaned list keeps."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from data_pipelines.census.record import Record

T = TypeVar("T")
Progress = Callable[[Iterable[T], int, str], Iterable[T]]
"""Shows how far an iteration is, given its length and title."""


def with_digests(
    records: Sequence[Record], root: str, workers: int, progress: Progress
) -> list[Record]:
    """Reads the readable files whose number of bytes another one shares.

    Args:
      records: the census so far.
      root: the folder that paths are relative to.
      workers: threads that read.
      progress: shows the reading.

    Returns:
      The records with their `digest`; a file that cannot be read to its end has become bad.
    """
    by_size: dict[int, set[str]] = defaultdict(set)
    for record in records:
        if record.status == "readable":
            by_size[record.bytes].add(record.path)
    paths = sorted(path for same in by_size.values() if len(same) > 1 for path in same)
    with ThreadPoolExecutor(workers) as pool:  # hashing does not hold the interpreter
        read = pool.map(lambda path: _digest(pathlib.Path(root, path)), paths)
        found = dict(zip(paths, list(progress(read, len(paths), "compare"))))
    return [_with_digest(record, found.get(record.path, "")) for record in records]


def with_copies(records: Sequence[Record]) -> list[Record]:
    """Marks all but one of equal videos (equal content, equal segment) as copies of that one.

    Kept is the first one outside the split "train", so that tests stay what they are and training
    does not see them; the first one of all where all are in it.
    """
    kept: dict[tuple[str, float | None, float | None], Record] = {}
    for record in sorted(records, key=lambda record: record.split == "train"):
        if record.digest:
            kept.setdefault((record.digest, record.start, record.end), record)

    def marked(record: Record) -> Record:
        first = kept.get((record.digest, record.start, record.end), record)
        return record if first is record else dataclasses.replace(record, copy_of=first.path)

    return [marked(record) for record in records]


def _digest(path: pathlib.Path) -> str | OSError:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return error


def _with_digest(record: Record, digest: str | OSError) -> Record:
    if isinstance(digest, OSError):
        return record.refused(digest.strerror or str(digest))
    return dataclasses.replace(record, digest=digest) if digest else record
