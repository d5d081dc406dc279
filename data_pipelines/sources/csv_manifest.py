"""Videos listed in a CSV file."""

from __future__ import annotations

import csv
import dataclasses
import math
import pathlib
from collections.abc import Sequence

from data_pipelines.errors import UserError
from data_pipelines.sources.files import (
    FileSource,
    VideoFile,
    existing_folder,
    path_inside,
    refuse_missing,
    sorted_classes,
)
from data_pipelines.suggest import nearest


@dataclasses.dataclass(frozen=True)
class _Row:
    where: str
    video: VideoFile
    class_name: str
    split: str


def read_manifest(
    path: str | pathlib.Path,
    root: str | pathlib.Path | None = None,
    label_column: str = "label",
    split_column: str = "split",
) -> dict[str, FileSource]:
    """Reads a list of videos: one row per video, or per segment of a video.

    The first row names the columns. `path` is required; `start` and `end`, in seconds from the
    first frame, cut out a segment; further columns are free. A row with an empty label is
    unlabelled (-1). Labels are class names, in one order for all splits.

    Args:
      path: the CSV file, in UTF-8.
      root: the folder that paths are relative to, None for the CSV's own.
      label_column: the column of class names. If left at "label" it may be missing: unlabelled.
      split_column: the column of split names. If left at "split" it may be missing: one split.

    Returns:
      A source for each value of the split column in order of appearance, or {"all": ...}.

    Raises:
      UserError: the file, a column, a value or a listed video is missing or wrong.
    """
    path = pathlib.Path(path)
    folder = existing_folder(root or path.parent, "the root folder of the videos")
    rows = _read_rows(path, folder, label_column, split_column)
    seen: dict[str, str] = {}
    for row in rows:
        if row.video.id in seen:
            raise UserError(
                f"{row.where}: {row.video.id} is already in {seen[row.video.id]}: remove one of "
                "them, or give them different segments by 'start' and 'end'"
            )
        seen[row.video.id] = row.where
    refuse_missing(folder, [(row.video.path, row.where) for row in rows])
    classes = sorted_classes({row.class_name for row in rows if row.class_name})
    label_of = {"": -1} | {name: label for label, name in enumerate(classes)}
    videos: dict[str, list[VideoFile]] = {}
    for row in rows:
        labelled = dataclasses.replace(row.video, label=label_of[row.class_name])
        videos.setdefault(row.split, []).append(labelled)
    return {
        split: FileSource(
            name=path.stem if split == "all" else f"{path.stem}/{split}",
            videos=tuple(of_split),
            classes=classes,
            root=str(folder),
        )
        for split, of_split in videos.items()
    }


def _read_rows(
    path: pathlib.Path, folder: pathlib.Path, label_column: str, split_column: str
) -> list[_Row]:
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"the list {path} {problem}: name a CSV file with a column 'path'")
    rows = []
    try:
        # "utf-8-sig" also reads what spreadsheets write: UTF-8 behind a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            if not columns:
                raise UserError(f"{path} is empty; its first line must be like 'path,label'")
            reader.fieldnames = columns
            if len(set(columns)) < len(columns):
                raise UserError(f"{path}: two columns have the same name: {', '.join(columns)}")
            _need(path, "path", columns)
            if label_column != "label":
                _need(path, label_column, columns)
            if split_column != "split":
                _need(path, split_column, columns)
            for values in reader:
                where = f"{path.name} line {reader.line_num}"
                rows.append(_row(values, where, folder, label_column, split_column))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if not rows:
        raise UserError(f"{path} lists no video: add a row for each below its header")
    return rows


def _row(
    values: dict[str | None, str | None],
    where: str,
    folder: pathlib.Path,
    label_column: str,
    split_column: str,
) -> _Row:
    if None in values or None in values.values():
        raise UserError(
            f"{where}: the number of values differs from the header's; quote values with commas"
        )
    listed = (values["path"] or "").strip()
    if not listed:
        raise UserError(f"{where}: the path is empty")
    start, end = _seconds(values, "start", where), _seconds(values, "end", where)
    if end is not None and end <= (start or 0.0):
        raise UserError(
            f"{where}: the segment ends at {end:g} s, not after {start or 0:g} s; "
            "put the later time in 'end'"
        )
    split = (values.get(split_column) or "").strip()
    if split_column in values and not split:
        raise UserError(f"{where}: column {split_column!r} is empty: name the split of the video")
    return _Row(
        where=where,
        video=VideoFile(path_inside(folder, listed, where), start=start, end=end),
        class_name=(values.get(label_column) or "").strip(),
        split=split or "all",
    )


def _seconds(values: dict[str | None, str | None], column: str, where: str) -> float | None:
    text = (values.get(column) or "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise UserError(f"{where}: {column} is {text!r}: give seconds from the first frame, >= 0")
    return seconds


def _need(path: pathlib.Path, column: str, columns: Sequence[str]) -> None:
    if column not in columns:
        raise UserError(f"{path} has no column {column!r}; {nearest(column, columns)}")
