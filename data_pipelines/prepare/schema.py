"""What prepared records look like, so that any program can write and read them.

A prepared collection is a folder, local or in an object store:

- `dataset_info.json`: see `DatasetInfo`. It is written last: with it, the collection is whole.
- `index.parquet`: one row per video (`INDEX`), split by split, in the order of the input.
- `shards/SPLIT-00000-of-00010.array_record`: ArrayRecord files (options
  "group_size:1,uncompressed"; frames are compressed already), one record per video.
- `shards/SPLIT-00000-of-00010.receipt`: a receipt for each, and `plan.json`: a digest of the input
  and the settings. By them a stopped preparation goes on; a reader needs neither.
- `quarantine.jsonl`: {"id", "path", "reason"} of every video that could not be read.

A record is a msgpack map with the fields of `Record` by name; `bytes` are msgpack binary, and
captions are maps with the fields of `Caption`.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pyarrow as pa

from data_pipelines.errors import UserError
from data_pipelines.video import Caption

VERSION = 1
"""Of everything described here. A reader refuses any other."""

SHARD_OPTIONS = "group_size:1,uncompressed"

CAPTIONS = pa.list_(
    pa.struct([("text", pa.string()), ("start", pa.float64()), ("end", pa.float64())])
)
"""Of a column of sentences, each with the fields of `Caption`."""

INDEX = pa.schema(
    [
        ("id", pa.string()),  # unique over all splits, that of the input
        ("path", pa.string()),  # the input's file, for people; "" where there was none
        ("split", pa.string()),
        ("label", pa.int32()),  # -1 = none
        ("labels", pa.list_(pa.int32())),  # where a video may have several; null elsewhere
        ("captions", CAPTIONS),
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


Pixels = Annotated[int, msgspec.Meta(ge=1, le=65_535)]  # JPEG counts no further


class _Versioned(msgspec.Struct):
    version: int


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One video. Of `jpegs` and `h264`, one is there and the other is empty.

    Attributes:
      id: that of the index.
      label: class index, -1 for none.
      captions: sentences, each with the seconds of video that it speaks of.
      times: L seconds, strictly increasing, 0 at the first frame: exactly the input's.
      height: of every frame in pixels; frames are upright and their pixels square.
      width: of every frame in pixels.
      jpegs: L baseline JPEG files (YCbCr 4:2:0), one per frame. Where all begin with the same bytes
        up to their compressed data, and the blocks between two restart markers divide those of a
        row (`prepare` takes one or two), a crop is decoded without what lies outside it.
      h264: an MP4 file whose i-th frame in the order shown is frame i. Its own times mean nothing.
      sound: a Matroska file with one audio track, b"" where the video is silent. What of the
        input's sound falls into the video, with a margin of 0.1 s.
      sound_start: seconds at which time 0 of `sound` falls on the clock of `times`; below 0 if
        before the first frame. Matroska rounds times to milliseconds, so go by that of the first
        sample that is decoded: the others follow it at the sampling rate.
      labels: class indices where a video may have several, None elsewhere.
      version: `VERSION`.
    """

    id: str
    label: Annotated[int, msgspec.Meta(ge=-1)]
    captions: tuple[Caption, ...]
    times: tuple[float, ...]
    height: Pixels
    width: Pixels
    jpegs: tuple[bytes, ...]
    h264: bytes
    sound: bytes
    sound_start: float
    labels: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] | None = None
    version: int = VERSION

    def to_bytes(self) -> bytes:
        """The record as it is stored."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        """Reads a stored record.

        Raises:
          ValueError: it is no record of this version; the message says what is wrong.
        """
        try:
            version = msgspec.msgpack.decode(data, type=_Versioned).version
            if version == VERSION:
                return msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f"it is no record: {error}") from error
        raise ValueError(f"a record of version {version}, not {VERSION}")


class ShardFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `dataset_info.json` says of a shard file.

    Attributes:
      bytes: its size.
      videos: records in it.
      sha256: of the file, hexadecimal.
    """

    bytes: int
    videos: int
    sha256: str


class DatasetInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `dataset_info.json` holds.

    Attributes:
      version: `VERSION`.
      name: what the collection is called in reports.
      classes: class names by label.
      factors: further ways to group the classes: a value for every class.
      encoding: storage ("jpeg" or "h264") and the settings it was made with.
      splits: videos of each split, in the order of the input's splits.
      shards: the files below `shards/`, by name.
      index_sha256: of `index.parquet`.
      census: the counts that `prepare` ends with.
      versions: of the packages that made it.
    """

    name: str
    classes: tuple[str, ...]
    factors: dict[str, list[int]]
    encoding: dict[str, Any]
    splits: dict[str, int]
    shards: dict[str, ShardFacts]
    index_sha256: str
    census: dict[str, Any]
    versions: dict[str, str]
    version: int = VERSION

    def to_json(self) -> str:
        """The text of `dataset_info.json`."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> DatasetInfo:
        """Reads it back.

        Raises:
          UserError: it is damaged, contradicts itself, or is of another version; `where` names the
            file.
        """
        try:
            version = msgspec.json.decode(text, type=_Versioned).version
            if version == VERSION:
                info = msgspec.json.decode(text, type=cls)
                info._check()
                return info
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UserError(
                f"{where} is damaged ({error}): run data_pipelines.prepare again, or copy it anew"
            ) from error
        raise UserError(
            f"{where} is of schema version {version}, but this program reads version {VERSION}: "
            "prepare the videos again, or use the program that made them"
        )

    def _check(self) -> None:
        for name, values in self.factors.items():
            if len(values) != len(self.classes):
                raise ValueError(
                    f"factor {name!r} has {len(values)} values for {len(self.classes)} classes"
                )
        for shard in self.shards:
            if "/" in shard or "\\" in shard:
                raise ValueError(f"shard {shard!r} is not the name of a file below shards")
