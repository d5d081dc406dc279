"""From a folder, a list or a standard dataset to the files that the census looks at."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping

from data_pipelines.census.record import Record
from data_pipelines.decode import Limits
from data_pipelines.errors import UserError
from data_pipelines.names import as_utf8
from data_pipelines.sources import DataSection, limits_of, read_splits
from data_pipelines.sources.files import FileSource, existing_folder
from data_pipelines.sources.listing import lacks_too_many
from data_pipelines.sources.walk import EXTENSIONS


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the census looks at.

    Attributes:
      root: the folder that paths are relative to.
      limits: what a file may ask for before it is refused.
      records: the files, not yet opened; those that cannot be used for their name are bad already.
      missing: (path, list and line) of listed videos that do not exist.
      lacks_too_many: whether training would refuse because so many of a split do not exist.
    """

    root: str
    limits: Limits
    records: tuple[Record, ...]
    missing: tuple[tuple[str, str], ...] = ()
    lacks_too_many: bool = False


def read_inputs(data: DataSection) -> Inputs:
    """Lists the files; of a folder every file in it, whatever its name.

    Raises:
      UserError: there is no such folder or list, or it holds nothing.
    """
    if data.source != "folder":
        splits = _file_sources(data)
        root = next(iter(splits.values())).root
        missing = tuple(entry for source in splits.values() for entry in source.missing)
        lacks = any(lacks_too_many(s, data.max_missing_fraction) for s in splits.values())
        return Inputs(root, limits_of(data), tuple(_listed(splits)), missing, lacks)
    root = existing_folder(data.root, "the video folder")
    paths = list(_files_below(root))
    if not paths:
        raise UserError(f"the folder {root} is empty: name the folder that holds the videos")
    has_videos = any(path.lower().endswith(EXTENSIONS) and not _is_hidden(path) for path in paths)
    listed = list(_listed(_file_sources(data))) if has_videos else []
    return Inputs(str(root), limits_of(data), (*listed, *_unlisted(paths, listed)))


def _file_sources(data: DataSection) -> dict[str, FileSource]:
    splits = {
        split: source
        for split, source in read_splits(data).items()
        if isinstance(source, FileSource)
    }
    if not splits:
        raise UserError(f"--source={data.source} has no files of its own to look at")
    return splits


def _listed(splits: Mapping[str, FileSource]) -> Iterator[Record]:
    for split, source in splits.items():
        for video in source.videos:
            class_name = source.classes[video.label] if video.label >= 0 else ""
            segment = video.start, video.end, video.captions
            yield _named(Record(video.path, split, class_name, *segment))


def _unlisted(paths: list[str], listed: list[Record]) -> Iterator[Record]:
    """Yields the other files, each in the split and class of the videos that it lies among."""
    known = {record.path for record in listed}
    places: dict[str, set[tuple[str, str]]] = {}
    for record in listed:
        for folder in _folders_above(record.path):
            places.setdefault(folder, set()).add((record.split, record.class_name))
    for path in paths:
        around = next((places[f] for f in _folders_above(path) if f in places), set())
        split, class_name = next(iter(around)) if len(around) == 1 else ("all", "")
        record = _named(Record(path, split, class_name, is_listed=False))
        if record.path in known:
            continue
        if _is_hidden(path):
            record = record.refused("hidden, so no source reads it", "other")
        yield record


def _folders_above(path: str) -> list[str]:
    """Returns the folders that a path lies in, the innermost first, without the root itself."""
    return [parent.as_posix() for parent in pathlib.PurePosixPath(path).parents][:-1]


def _files_below(root: pathlib.Path) -> Iterator[str]:
    """Yields all files, and hidden folders in one; does not follow links to folders."""
    for place, folders, files in os.walk(root):
        inside = pathlib.Path(place).relative_to(root)
        names = [*files, *(f"{name}/" for name in folders if name.startswith("."))]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            yield f"{inside.as_posix()}/{name}".removeprefix("./")


def _is_hidden(path: str) -> bool:
    return path.removesuffix("/").rpartition("/")[2].startswith(".")


def _named(record: Record) -> Record:
    path = record.path
    if as_utf8(path) != path:
        return dataclasses.replace(record, path=as_utf8(path)).refused(
            "its name is not UTF-8, which no list can hold: rename it"
        )
    if path != path.strip():
        return record.refused("its name begins or ends with white space: rename it")
    return record
