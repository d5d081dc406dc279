"""Where the videos of a command are: the fields of `config.data` as flags of a command line."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from typing import Any

from data_pipelines.decode import Limits
from data_pipelines.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataSection:
    """Those fields of `config.data` that say where videos are; configs/base.py explains them."""

    source: str = "folder"
    root: str = ""
    manifest: str = ""
    label_column: str = "label"
    split_column: str = "split"
    caption_column: str = "caption"
    captions: str = ""
    lists: str = ""
    list_split: int = 1
    max_missing_fraction: float = 0.05
    trimmed: bool = False
    dataset: str = ""
    video_column: str = "video"
    fps: float = 25.0
    max_seconds: float = 60.0
    max_pixels: int = 8192 * 4320
    max_frames: int = 5_000_000
    max_hours: float = 24.0
    follow_links: bool = False


_HELP = {
    "source": "folder (default), csv, jsonl, ucf101, hmdb51, jhmdb, kinetics, ssv2, howto100m, "
    "audioset, msrvtt, youcook2, tfds, records",
    "label_column": "csv, jsonl, tfds: which column names the class",
    "split_column": "csv, jsonl: which column says train or test",
    "caption_column": "csv, jsonl: which column holds a sentence about the video",
    "captions": "howto100m: folder of sentences, a file for each video, or one JSON file of all",
    "lists": "folder of the official lists; default: in or beside the videos",
    "list_split": "ucf101, hmdb51, jhmdb, msrvtt: which of the official splits",
    "max_missing_fraction": "more listed videos without a file than this are an error",
    "trimmed": "kinetics, audioset: ID.mp4 holds the segment alone",
    "dataset": "tfds: its name",
    "video_column": "tfds: which feature holds the video",
    "fps": "tfds: frames per second of videos stored as frames",
    "max_seconds": "for one video; then it is given up",
    "max_pixels": "larger pictures are refused",
    "max_frames": "files of more frames are refused",
    "max_hours": "longer files are refused",
    "follow_links": "read links, too, that lead out of the videos' folder",
}


def limits_of(data: Any) -> Limits:
    """What a file may ask for before it is refused, by a `DataSection` or a config's section."""
    return Limits(
        pixels=data.max_pixels,
        frames=data.max_frames,
        hours=data.max_hours,
        seconds=data.max_seconds,
        follow_links=data.follow_links,
    )


def add_section_flags(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for every field but `root` and `manifest`, which commands take in their ways."""
    group = parser.add_argument_group("where the videos are (as config.data.*)")
    for field in dataclasses.fields(DataSection):
        if field.name not in _HELP:
            continue
        if field.type == "bool":
            group.add_argument(f"--{field.name}", action="store_true", help=_HELP[field.name])
            continue
        group.add_argument(
            f"--{field.name}",
            type=type(field.default),
            default=field.default,
            help=f"{_HELP[field.name]}; default {field.default!r}"
            if field.default
            else _HELP[field.name],
        )


def section_of(flags: argparse.Namespace, place: str, root: str = "") -> DataSection:
    """Returns what the flags say.

    Args:
      flags: parsed by a parser with `add_section_flags`.
      place: a folder, a URL of records, or a list ending in .csv or .jsonl (needs no --source).
      root: of a list: the folder that its paths are relative to, "" for its own.

    Raises:
      UserError: a limit is out of range.
    """
    section = DataSection(root=place, **{name: getattr(flags, name) for name in _HELP})
    for name, fits in (
        ("max_pixels", section.max_pixels >= 1),
        ("max_frames", section.max_frames >= 1),
        ("max_hours", section.max_hours > 0),
        ("max_seconds", section.max_seconds > 0),
        ("fps", section.fps > 0),
        ("max_missing_fraction", 0 <= section.max_missing_fraction <= 1),
    ):
        if not fits:
            kind = "from 0 to 1" if name == "max_missing_fraction" else "above 0"
            raise UserError(f"--{name}={getattr(section, name)} must be {kind}")
    kind = pathlib.PurePath(place).suffix.lower().removeprefix(".")
    if flags.source in ("csv", "jsonl"):
        return dataclasses.replace(section, manifest=place, root=root)
    if kind in ("csv", "jsonl") and flags.source == "folder":
        return dataclasses.replace(section, source=kind, manifest=place, root=root)
    return section
