"""Which function reads which kind of collection."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.sources.audioset import read_audioset
from data_pipelines.sources.files import FileSource
from data_pipelines.sources.folder import folder_splits
from data_pipelines.sources.howto100m import read_howto100m
from data_pipelines.sources.kinetics import read_kinetics
from data_pipelines.sources.manifest import read_manifest
from data_pipelines.sources.msrvtt import read_msrvtt
from data_pipelines.sources.records import RecordSource, open_records
from data_pipelines.sources.section import limits_of
from data_pipelines.sources.split_lists import read_hmdb51, read_ucf101
from data_pipelines.sources.ssv2 import read_ssv2
from data_pipelines.sources.tfds import TfdsSource, read_tfds
from data_pipelines.sources.youcook2 import read_youcook2
from data_pipelines.suggest import nearest
from data_pipelines.video import Source

Splits = Mapping[str, FileSource] | Mapping[str, RecordSource] | Mapping[str, TfdsSource]


def read_splits(data: Any) -> Mapping[str, Source]:
    """Returns the splits of a collection as they are found there, whatever is then done with them.

    Args:
      data: the section, or a `DataSection`, of any source but the built-in one and mixtures.

    Raises:
      UserError: the section asks for something that is not there.
    """
    if data.source not in READERS:
        raise UserError(f"unknown source {data.source!r}; {nearest(data.source, READERS)}")
    return {
        name: dataclasses.replace(split, limits=limits_of(data))
        for name, split in READERS[data.source](data).items()
    }


def _manifest(data: Any) -> Splits:
    if not data.manifest:
        raise UserError(
            f"config.data.source={data.source} needs --config.data.manifest=FILE.{data.source}"
        )
    return read_manifest(
        pathlib.Path(data.manifest).expanduser(),
        pathlib.Path(data.root).expanduser() if data.root else None,
        data.label_column,
        data.split_column,
        data.source,
        data.caption_column,
    )


def root_of(data: Any) -> pathlib.Path:
    """Returns the folder of the videos.

    Raises:
      UserError: none is named.
    """
    if not data.root:
        raise UserError(f"config.data.source={data.source} needs --config.data.root=DIR")
    return pathlib.Path(data.root).expanduser()


def _url(data: Any) -> str:
    if not data.root:
        raise UserError("config.data.source=records needs --config.data.root=FOLDER_OR_URL")
    return data.root


def _lists(data: Any) -> pathlib.Path | str:
    return pathlib.Path(data.lists).expanduser() if data.lists else ""


def _captions(data: Any) -> pathlib.Path | str:
    return pathlib.Path(data.captions).expanduser() if data.captions else ""


READERS: Mapping[str, Callable[[Any], Splits]] = {
    "folder": lambda data: folder_splits(root_of(data)),
    "csv": _manifest,
    "jsonl": _manifest,
    "ucf101": lambda data: read_ucf101(root_of(data), _lists(data), data.list_split),
    "hmdb51": lambda data: read_hmdb51(root_of(data), _lists(data), data.list_split),
    "jhmdb": lambda data: read_hmdb51(root_of(data), _lists(data), data.list_split, "jhmdb"),
    "kinetics": lambda data: read_kinetics(root_of(data), _lists(data), data.trimmed),
    "ssv2": lambda data: read_ssv2(root_of(data), _lists(data)),
    "howto100m": lambda data: read_howto100m(root_of(data), _lists(data), _captions(data)),
    "audioset": lambda data: read_audioset(root_of(data), _lists(data), data.trimmed),
    "msrvtt": lambda data: read_msrvtt(root_of(data), _lists(data), data.list_split),
    "youcook2": lambda data: read_youcook2(root_of(data), _lists(data)),
    "records": lambda data: open_records(_url(data)),
    "tfds": lambda data: read_tfds(
        data.dataset,
        str(root_of(data)) if data.root else "",
        data.video_column,
        data.label_column,
        data.fps,
    ),
}
"""By the name of a source: the section of a config -> its splits."""
