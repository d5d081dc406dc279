"""Which video goes into which shard: a function of the list of videos alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import urllib.parse
from collections.abc import Mapping

from data_pipelines.errors import UserError
from data_pipelines.prepare.encode import Encoding
from data_pipelines.prepare.schema import VERSION
from data_pipelines.prepare.storage import Storage
from data_pipelines.video import Source


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some neighbouring videos of a split.

    Attributes:
      name: of its file, without folder and ending.
      split: where its videos are from.
      start: index of the first of them.
      stop: index behind the last of them.
      digest: of all that its content depends on, but for the video files and the software.
    """

    name: str
    split: str
    start: int
    stop: int
    digest: str


def plan_shards(
    splits: Mapping[str, Source], encoding: Encoding, videos_per_shard: int
) -> list[Shard]:
    """Cuts every split into shards of equal length; the last one may be shorter.

    Raises:
      UserError: two videos have the same id, or shards would be empty.
    """
    if videos_per_shard < 1:
        raise UserError(f"--videos_per_shard={videos_per_shard} must be at least 1")
    shards: list[Shard] = []
    seen: dict[str, str] = {}
    for split, source in splits.items():
        count = -(-len(source) // videos_per_shard)
        for number in range(count):
            start = number * videos_per_shard
            stop = min(start + videos_per_shard, len(source))
            infos = [source.info(index) for index in range(start, stop)]
            for info in infos:
                if info.id in seen:
                    raise UserError(
                        f"video {info.id!r} is in split {seen[info.id]!r} and again in {split!r}: "
                        "ids must be unique; list it once"
                    )
                seen[info.id] = split
            content = [VERSION, dataclasses.asdict(encoding), source.classes]
            content += [dataclasses.astuple(info) for info in infos]
            # Split names come from the user's data, and a file name must not lead elsewhere.
            name = f"{urllib.parse.quote(split, safe='')}-{number:05d}-of-{count:05d}"
            shards.append(Shard(name, split, start, stop, _digest(content)))
    return shards


def claim(storage: Storage, shards: list[Shard]) -> None:
    """Makes the output folder that of this plan, or finds that it is already.

    Raises:
      UserError: it holds records of other videos or with other settings.
    """
    digest = _digest([dataclasses.astuple(shard) for shard in shards])
    if storage.size("plan.json") is None:
        storage.write("plan.json", json.dumps({"digest": digest}).encode())
    elif json.loads(storage.read("plan.json"))["digest"] != digest:
        raise UserError(
            f"{storage.root} holds records of another list of videos or with other settings: "
            "name another --output, or remove that folder"
        )


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
