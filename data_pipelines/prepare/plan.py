"""What to prepare, and which video goes into which shard: a function of the list of videos."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from data_pipelines.captions import CaptionFile
from data_pipelines.decode import Limits
from data_pipelines.decode.limits import DEFAULT
from data_pipelines.errors import UserError
from data_pipelines.prepare.encode import Encoding
from data_pipelines.prepare.schema import VERSION
from data_pipelines.prepare.storage import Storage
from data_pipelines.sources.files import FileSource
from data_pipelines.video import Source, VideoInfo

_LONGEST_NAME = 200  # of a shard, without ending; file systems allow 255 bytes


@dataclasses.dataclass(frozen=True)
class Job:
    """What to prepare, and how; picklable.

    Attributes:
      open_input: gives the splits; called on every machine that takes part, with equal results.
      output: folder or URL.
      encoding: how videos are stored.
      videos_per_shard: at least 1.
      workers: processes that transcode, on each machine that takes part.
      timeout: seconds after which a video is given up.
      limits: those of the sources; part of the plan, since what is quarantined depends on them.
    """

    open_input: Callable[[], Mapping[str, Source]]
    output: str
    encoding: Encoding
    videos_per_shard: int = 256
    workers: int = 1
    timeout: float = 600.0
    limits: Limits = DEFAULT


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some neighbouring videos of a split.

    Attributes:
      name: of its file, without folder and ending.
      split: where its videos are from.
      start: index of the first of them.
      stop: index behind the last of them.
      digest: of all that its content depends on, but for the software; of the video files, their
        sizes and times of change.
    """

    name: str
    split: str
    start: int
    stop: int
    digest: str


def plan_shards(splits: Mapping[str, Source], job: Job) -> list[Shard]:
    """Cuts every split into shards of equal length; the last one may be shorter.

    Raises:
      UserError: two videos have the same id, or shards would be empty.
    """
    videos_per_shard = job.videos_per_shard
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
            content: list[Any] = [VERSION, job.timeout, source.classes]
            content += [dataclasses.asdict(job.encoding), dataclasses.asdict(job.limits)]
            content += [(*_about(info), _file_state(source, info)) for info in infos]
            # Split names come from the user's data, and a file name must not lead elsewhere.
            name = f"{urllib.parse.quote(split, safe='')}-{number:05d}-of-{count:05d}"
            if len(name) > _LONGEST_NAME:
                raise UserError(
                    f"the name of split {split[:40]!r}... is too long for a file's name"
                )
            shards.append(Shard(name, split, start, stop, _digest(content)))
    return shards


def claim(storage: Storage, shards: list[Shard]) -> None:
    """Makes the output folder that of this plan, or finds that it is already.

    Raises:
      UserError: it holds records of other videos or with other settings.
    """
    plan = json.dumps({"digest": _digest([dataclasses.astuple(shard) for shard in shards])})
    if storage.size("plan.json") is None:
        storage.write("plan.json", plan.encode())
    elif storage.read("plan.json") != plan.encode():
        raise UserError(
            f"{storage.root} holds records of another list of videos, of files that have changed "
            "since, or with other settings: name another --output, or remove that folder"
        )


def _about(info: VideoInfo) -> tuple[Any, ...]:
    if isinstance(info.captions, CaptionFile):  # its content is for the workers to read
        captions = (*dataclasses.astuple(info.captions), _state(info.captions.path))
    else:
        captions = tuple(dataclasses.astuple(caption) for caption in info.captions)
    return info.id, info.path, info.label, info.labels, captions


def _file_state(source: Source, info: VideoInfo) -> tuple[int, int] | None:
    """Bytes of a video's file and the second in which it changed, None where there is none."""
    return _state(info.path) if isinstance(source, FileSource) else None


def _state(path: str) -> tuple[int, int] | None:
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_size, int(about.st_mtime)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
