"""Videos that `python -m data_pipelines.prepare` has turned into records."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from array_record.python.array_record_module import ArrayRecordReader

from data_pipelines.decode import Limits
from data_pipelines.decode.limits import DEFAULT
from data_pipelines.errors import BadVideo, UserError
from data_pipelines.prepare.schema import INDEX, DatasetInfo, Record
from data_pipelines.prepare.storage import Storage
from data_pipelines.sources.record_video import open_record
from data_pipelines.video import Caption, MissingVideo, Video, VideoInfo

_OPEN_SHARDS = 128  # files open at a time in each process


def open_records(root: str) -> dict[str, RecordSource]:
    """Opens a prepared collection.

    Args:
      root: the folder, local or a URL. Shards of a remote one are copied to this machine's cache
        when they are first read.

    Returns:
      A source for each split of the input.

    Raises:
      UserError: the folder holds no finished collection, one that is damaged or of another version,
        or a split without a video.
    """
    storage = Storage(root)
    if storage.size("dataset_info.json") is None:
        raise UserError(
            f"{root} holds no prepared records (no dataset_info.json): name the --output of "
            "python -m data_pipelines.prepare, and let that run to its end"
        )
    info = DatasetInfo.from_json(storage.read("dataset_info.json"), f"{root}/dataset_info.json")
    index = _read_index(storage, info)
    for split, videos in info.splits.items():
        if not videos:
            raise UserError(
                f"split {split!r} of {root} holds no video: none of its videos could be read when "
                "it was prepared; quarantine.jsonl there says why"
            )
    sizes = storage.sizes("shards")
    for shard, facts in info.shards.items():
        if sizes.get(shard) != facts.bytes:
            found = "is missing" if shard not in sizes else f"has {sizes[shard]} bytes"
            raise UserError(
                f"shard {root}/shards/{shard} {found}, it should have {facts.bytes} bytes: "
                "run data_pipelines.prepare again, or copy it anew"
            )
    return {
        split: RecordSource(
            name=info.name if split == "all" else f"{info.name}/{split}",
            classes=info.classes,
            factors={name: np.asarray(values) for name, values in info.factors.items()},
            root=root,
            edition=info.index_sha256,
            index=index.take(_rows(index, split)).combine_chunks(),
        )
        for split in info.splits
    }


def _read_index(storage: Storage, info: DatasetInfo) -> pa.Table:
    where = f"{storage.root}/index.parquet"
    fix = "run data_pipelines.prepare again, or copy it anew"
    if storage.size("index.parquet") is None:
        raise UserError(f"{where} is missing: {fix}")
    content = storage.read("index.parquet")
    if hashlib.sha256(content).hexdigest() != info.index_sha256:
        raise UserError(f"{where} is not the one that dataset_info.json was written with: {fix}")
    try:
        index = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{where} is no Parquet file ({' '.join(str(error).split())}): {fix}"
        ) from error
    if not index.schema.equals(INDEX):
        raise UserError(f"{where} has other columns than the schema says: {fix}")
    strange = set(index["shard"].unique().to_pylist()) - info.shards.keys()
    if strange:
        raise UserError(f"{where} names the shard {min(strange)!r}, which there is not: {fix}")
    for column in ("id", "path", "split", "label", "captions", "shard", "position", "bytes"):
        if index[column].null_count:
            raise UserError(f"{where} has rows without {column}: {fix}")
    counted = collections.Counter(index["split"].to_pylist())
    if counted != {split: videos for split, videos in info.splits.items() if videos}:
        raise UserError(f"{where} counts other videos than dataset_info.json: {fix}")
    labels = index["label"].to_numpy()
    if len(labels) and not -1 <= labels.min() <= labels.max() < max(1, len(info.classes)):
        raise UserError(f"{where} has labels outside -1..{len(info.classes) - 1}: {fix}")
    return index


def _rows(index: pa.Table, split: str) -> np.ndarray:
    return np.flatnonzero(index["split"].to_numpy() == split)


@dataclasses.dataclass(frozen=True)
class RecordSource:
    """One split of a prepared collection; a `Source`.

    Attributes:
      name: what it is called in reports.
      classes: class names by label.
      factors: further ways to group the classes.
      root: the folder.
      edition: tells collections prepared at the same place at different times.
      index: its rows of `index.parquet`.
      limits: what a record may ask for before it is refused.
    """

    name: str
    classes: tuple[str, ...]
    factors: Mapping[str, np.ndarray]
    root: str
    edition: str
    index: pa.Table
    limits: Limits = DEFAULT

    @property
    def missing(self) -> tuple[MissingVideo, ...]:
        """Nothing: what could not be read when they were prepared is in quarantine.jsonl."""
        return ()

    def __len__(self) -> int:
        return len(self.index)

    def info(self, index: int) -> VideoInfo:
        """Returns what is known of video `index`; `path` is the file it was made from."""
        return VideoInfo(
            id=self._value("id", index),
            path=self._value("path", index),
            label=self._value("label", index),
            captions=tuple(Caption(**caption) for caption in self._value("captions", index)),
            labels=None if (labels := self._value("labels", index)) is None else tuple(labels),
        )

    def open(self, index: int) -> Video:
        """Opens video `index`.

        Raises:
          BadVideo: its record is damaged.
        """
        shard, position = self._value("shard", index), self._value("position", index)
        video = self._value("id", index)
        place = f"{self.root}/shards/{shard} record {position} ({video})"
        try:
            (data,) = _reader(self.root, shard, self.edition).read([position])
            record = Record.from_bytes(data)
        except (RuntimeError, ValueError, IndexError, TypeError, OSError) as error:
            raise BadVideo(place, " ".join(str(error).split())) from error
        if record.id != video or len(data) != self._value("bytes", index):
            raise BadVideo(
                place,
                f"it is a record of {record.id!r} of {len(data)} bytes, not the one that the index "
                "was written with: copy the shard anew",
            )
        return open_record(record, place, self.limits)

    def _value(self, column: str, row: int) -> Any:
        return self.index[column][row].as_py()


@functools.lru_cache(maxsize=_OPEN_SHARDS)
def _reader(root: str, shard: str, edition: str) -> ArrayRecordReader:
    path = Storage(root).local_copy(f"shards/{shard}", edition)
    # Videos are wanted in random order: reading ahead would be in vain.
    return ArrayRecordReader(path, "readahead_buffer_size:0")
