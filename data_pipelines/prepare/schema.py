"""What prepared records look like, so that any program can write and read them.

A prepared collection is a folder, local or in an object store:

- `dataset_info.json`: see `DatasetInfo`. It is written last: with it, the collection is whole.
- `index.parquet`: one row per video (`INDEX`), split by split, in the order of the input.
- `shards/SPLIT-00000-of-00010.array_record`: ArrayRecord files (options
  "group_size:1,uncompressed"; frames are compressed already), one record per video.
- `shards/SPLIT-00000-of-00010.json`: a receipt for each, and `plan.json`: a digest of the input and
  the settings. By them a stopped preparation goes on; a reader needs neither.
- `quarantine.jsonl`: {"id", "path", "reason"} of every video that could not be read.

A record is a msgpack map with the fields of `Record` by name; `bytes` are msgpack binary.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgpack
import pyarrow as pa

from data_pipelines.errors import UserError
from data_pipelines.video import Caption

VERSION = 1
"""Of everything described here. A reader refuses any other."""

SHARD_OPTIONS = "group_size:1,uncompressed"

INDEX = pa.schema(
    [
        ("id", pa.string()),  # unique over all splits, that of the input
        ("path", pa.string()),  # the input's file, for people; "" where there was none
        ("split", pa.string()),
        ("label", pa.int32()),  # -1 = none
        ("captions", pa.list_(pa.struct([
            ("text", pa.string()), ("start", pa.float64()), ("end", pa.float64()),
        ]))),
        ("shard", pa.string()),  # file name below shards/
        ("position", pa.int64()),  # of the record in its shard, from 0
        ("frames", pa.int64()),
        ("seconds", pa.float64()),  # from the first frame to the last
        ("height", pa.int32()),  # pixels, as stored
        ("width", pa.int32()),
        ("sound", pa.string()),  # codec of the sound, "" = silent
        ("bytes", pa.int64()),  # of the record
        ("sha256", pa.string()),  # of the record, hexadecimal
    ]
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Record:
    """One video. Of `jpegs` and `h264`, one is there and the other is empty.

    Attributes:
      id: that of the index.
      label: class index, -1 for none.
      captions: sentences, each with the seconds of video that it speaks of.
      times: L seconds, strictly increasing, 0 at the first frame: exactly the input's.
      height: of every frame in pixels; frames are upright and their pixels square.
      width: of every frame in pixels.
      jpegs: L JPEG files (YCbCr 4:2:0), one per frame.
      h264: an MP4 file whose i-th frame in the order shown is frame i. Its own times mean nothing.
      sound: a Matroska file with one audio track, b"" where the video is silent. What of the
        input's sound falls into the video, with a margin of 0.1 s on either side.
      sound_start: seconds at which time 0 of `sound` falls on the clock of `times`; below 0 if
        before the first frame. Matroska rounds times to milliseconds, so go by that of the first
        sample that is decoded: the others follow it at the sampling rate.
      version: `VERSION`.
    """

    id: str
    label: int
    captions: tuple[Caption, ...]
    times: tuple[float, ...]
    height: int
    width: int
    jpegs: tuple[bytes, ...]
    h264: bytes
    sound: bytes
    sound_start: float
    version: int = VERSION

    def to_bytes(self) -> bytes:
        """The record as it is stored."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["captions"] = [dataclasses.astuple(caption) for caption in self.captions]
        return bytes(msgpack.packb(fields))  # pyright: ignore[reportArgumentType]  (its stub)

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        """Reads a stored record.

        Raises:
          ValueError: it is no record of this version; the message says what is wrong.
        """
        fields = msgpack.unpackb(data, use_list=False)
        if not isinstance(fields, dict):
            raise ValueError("a record must be a msgpack map")
        if fields.get("version") != VERSION:
            raise ValueError(f"a record of version {fields.get('version')}, not {VERSION}")
        missing = {f.name for f in dataclasses.fields(cls)} ^ fields.keys()
        if missing:
            raise ValueError(
                f"fields are missing or unknown: {', '.join(sorted(map(str, missing)))}"
            )
        fields["captions"] = tuple(Caption(*caption) for caption in fields["captions"])
        return cls(**fields)


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What `dataset_info.json` holds.

    Attributes:
      version: `VERSION`.
      name: what the collection is called in reports.
      classes: class names by label.
      factors: further ways to group the classes: a value for every class.
      encoding: storage ("jpeg" or "h264") and the settings it was made with.
      splits: videos of each split, in the order of the input's splits.
      shards: of each shard file, its "bytes", "videos" and "sha256".
      index_sha256: of `index.parquet`.
      census: the counts that `prepare` ends with.
      versions: of the packages that made it.
    """

    name: str
    classes: tuple[str, ...]
    factors: dict[str, list[int]]
    encoding: dict[str, Any]
    splits: dict[str, int]
    shards: dict[str, dict[str, Any]]
    index_sha256: str
    census: dict[str, Any]
    versions: dict[str, str]
    version: int = VERSION

    def to_json(self) -> str:
        """The text of `dataset_info.json`."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> DatasetInfo:
        """Reads it back.

        Raises:
          UserError: it is damaged, or of another version; `where` names the file.
        """
        try:
            fields = json.loads(text)
            version = fields["version"]
            if version == VERSION:
                return cls(**fields | {"classes": tuple(fields["classes"])})
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{where} is damaged ({error}): run data_pipelines.prepare again, or copy it anew"
            ) from error
        raise UserError(
            f"{where} is of schema version {version}, but this program reads version {VERSION}: "
            "prepare the videos again, or use the program that made them"
        )
