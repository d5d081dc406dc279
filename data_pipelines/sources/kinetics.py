"""Kinetics-400, -600 and -700 by their official annotation files."""

from __future__ import annotations

import pathlib
import re

from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile, existing_folder, sorted_classes
from data_pipelines.sources.listing import Listed, find_lists, listed_sources
from data_pipelines.sources.rows import Row, Table, read_csv
from data_pipelines.sources.walk import VideosByName

# Every name under which a split is distributed, as a column's value, a file and a folder.
_SPLITS = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}
_SPLIT_OF = {name: split for split, names in _SPLITS.items() for name in names}
_PATTERNS = tuple(f"*{name}.csv" for name in _SPLIT_OF)


def read_kinetics(
    root: str | pathlib.Path, lists: str | pathlib.Path = "", trimmed: bool = False
) -> dict[str, FileSource]:
    """Reads Kinetics: CSV files with columns `youtube_id,time_start,time_end[,label][,split]`.

    Of a folder, the files are read whose names end in a split, such as `train.csv`,
    `kinetics-400_val.csv` or `validate.csv`; a single file says the split in a column.

    Videos are found by name anywhere below the root, in any container: `ID_000010_000020.mp4` is
    the trimmed segment; of `ID.mp4` the segment is cut out.

    Args:
      root: the folder of the videos.
      lists: the folder of the annotation files, or one file; "" = in the root, or `annotations` in
        or beside it.
      trimmed: `ID.mp4` holds nothing but the segment.

    Returns:
      The splits that are listed, of "train", "val" and "test". Labels follow the sorted class names
      of all of them; a row without a label is unlabelled (-1).

    Raises:
      UserError: an annotation file is missing or malformed.
    """
    root = existing_folder(root, "the kinetics folder")
    tables, videos = _tables(root, lists), VideosByName(root)
    entries = [
        _listed(row, split or _split_of(row), videos, trimmed)
        for split, table in tables
        for row in table.rows
    ]
    classes = sorted_classes({entry.class_name for entry in entries if entry.class_name})
    return listed_sources("kinetics", root, entries, classes)


def _tables(root: pathlib.Path, lists: str | pathlib.Path) -> list[tuple[str, Table]]:
    """Returns the annotation files and the split of each, "" for the one whose rows say."""
    files: dict[str, pathlib.Path] = {}
    if lists and pathlib.Path(lists).is_file():
        files[""] = pathlib.Path(lists)
    else:
        folder = find_lists("kinetics", root, lists, ("annotations",), _PATTERNS)
        for path in sorted(folder.glob("*.csv")):
            split = _SPLIT_OF.get(re.split("[^a-z]", path.stem.lower())[-1])
            if split in files:
                raise UserError(
                    f"both {files[split]} and {path.name} list the split {split!r} of kinetics: "
                    "name a folder with the files of one collection, or one file, by "
                    "--config.data.lists"
                )
            if split:
                files[split] = path
        if not files:
            raise UserError(
                f"no annotation file of kinetics in {folder}: looked for {' '.join(_PATTERNS)}; "
                "name their folder, or one file, by --config.data.lists"
            )
    tables = []
    for split in sorted(files, key=("", *_SPLITS).index):
        table = read_csv(files[split])
        for column in ("youtube_id", "time_start", "time_end", *(() if split else ("split",))):
            table.need(column)
        tables.append((split, table))
    return tables


def _split_of(row: Row) -> str:
    name = row.text("split")
    if name not in _SPLIT_OF:
        raise UserError(f"{row.where}: split is {name!r}: give one of {', '.join(_SPLIT_OF)}")
    return _SPLIT_OF[name]


def _listed(row: Row, split: str, videos: VideosByName, trimmed: bool) -> Listed:
    name, class_name = row.text("youtube_id"), row.text("label")
    start, end = row.seconds("time_start"), row.seconds("time_end")
    if not name or start is None or end is None or end <= start:
        raise UserError(
            f"{row.where}: give a youtube_id, a time_start and a later time_end, in seconds"
        )
    folders = (*_SPLITS[split], class_name)
    segment = f"{name}_{int(start):06d}_{int(end):06d}"
    path = videos.find(segment, folders)
    if path is None and (path := videos.find(name, folders)) is not None and not trimmed:
        video = VideoFile(path, start=start, end=end)
    else:
        video = VideoFile(path or f"{segment}.mp4")
    return Listed(video, class_name, split, row.where, exists=path is not None)
