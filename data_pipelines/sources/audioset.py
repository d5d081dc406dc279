"""AudioSet by its official CSV files: segments of ten seconds, each with several labels."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterator, Mapping

from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile, existing_folder
from data_pipelines.sources.listing import Listed, find_lists, listed_sources
from data_pipelines.sources.rows import Row, read_csv
from data_pipelines.sources.walk import VideosByName

_SPLITS = {
    "balanced_train_segments.csv": "train",
    "unbalanced_train_segments.csv": "train",
    "eval_segments.csv": "eval",
}
_CLASSES = "class_labels_indices.csv"
_COLUMNS = ("YTID", "start_seconds", "end_seconds", "positive_labels")


def read_audioset(
    root: str | pathlib.Path, lists: str | pathlib.Path = "", trimmed: bool = False
) -> dict[str, FileSource]:
    """Reads `balanced_train_`, `unbalanced_train_` and `eval_segments.csv`, those that exist.

    Videos are found by name anywhere below the root, in any container: the trimmed segment, under
    the names that downloaders give it (`ID_30000_40000`, `ID_000030_000040`, `ID_30.000_40.000`,
    `ID_30_40`, `ID_30`), or `ID`, of which the segment is cut out.

    Args:
      root: the folder of the videos.
      lists: the folder of the CSV files, or one of them; "" = in the root, or `annotations` in or
        beside it.
      trimmed: `ID.mp4` holds nothing but the segment.

    Returns:
      "train" and "eval", as far as they are listed; classes follow `class_labels_indices.csv` if
      that is there, and else are the sorted names of labels (`/m/09x0r`).

    Raises:
      UserError: a list is missing or malformed.
    """
    root = existing_folder(root, "the audioset folder")
    if lists and pathlib.Path(lists).is_file():
        files = [pathlib.Path(lists)]
    else:
        folder = find_lists("audioset", root, lists, ("annotations",), tuple(_SPLITS))
        files = [folder / name for name in _SPLITS if (folder / name).is_file()]
        if not files:
            raise UserError(
                f"no list of audioset in {folder}: looked for {' '.join(_SPLITS)}; name their "
                "folder, or one file, by --config.data.lists"
            )
    rows = [(_SPLITS.get(file.name, "train"), row) for file in files for row in _rows(file)]
    names, classes = _classes(files[0].parent / _CLASSES, [row for _, row in rows])
    videos = VideosByName(root)
    entries = [_listed(row, split, videos, trimmed, names) for split, row in rows]
    return listed_sources("audioset", root, entries, classes)


def _rows(file: pathlib.Path) -> Iterator[Row]:
    """Yields the segments; the official header is a comment, and blanks follow its commas."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines, skipinitialspace=True, strict=True)
            for values in reader:
                if not values or values[0].startswith("#") or values[0] == _COLUMNS[0]:
                    continue
                where = f"{file.name} line {reader.line_num}"
                if len(values) != len(_COLUMNS):
                    raise UserError(
                        f"{where}: give {', '.join(_COLUMNS)}, not {len(values)} values"
                    )
                yield Row(where, dict(zip(_COLUMNS, values)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} is not a CSV file in UTF-8: {error}") from error


def _classes(file: pathlib.Path, rows: list[Row]) -> tuple[Mapping[str, int], tuple[str, ...]]:
    """Returns the number of each label, and the names of the classes."""
    if not file.is_file():
        names = tuple(sorted({name for row in rows for name in _labels(row)}))
        return {name: number for number, name in enumerate(names)}, names
    table = read_csv(file)
    for column in ("index", "mid", "display_name"):
        table.need(column)
    listed = [(row.text("index"), row.text("mid"), row.text("display_name")) for row in table.rows]
    if sorted(number for number, *_ in listed) != sorted(map(str, range(len(listed)))):
        raise UserError(f"{file}: the indices are not the numbers from 0 to {len(listed) - 1}")
    listed.sort(key=lambda entry: int(entry[0]))
    return {mid: int(number) for number, mid, _ in listed}, tuple(name for *_, name in listed)


def _labels(row: Row) -> list[str]:
    return [name.strip() for name in row.text("positive_labels").split(",") if name.strip()]


def _listed(
    row: Row, split: str, videos: VideosByName, trimmed: bool, names: Mapping[str, int]
) -> Listed:
    name, start, end = row.text("YTID"), row.seconds("start_seconds"), row.seconds("end_seconds")
    if not name or start is None or end is None or end <= start:
        raise UserError(f"{row.where}: give a YTID, start_seconds and later end_seconds")
    unknown = [label for label in _labels(row) if label not in names]
    if unknown:
        raise UserError(f"{row.where}: label {unknown[0]!r} is not in {_CLASSES}")
    labels = tuple(sorted({names[label] for label in _labels(row)}))
    segments = (
        f"{name}_{round(start * 1000)}_{round(end * 1000)}",
        f"{name}_{int(start):06d}_{int(end):06d}",
        f"{name}_{start:.3f}_{end:.3f}",
        f"{name}_{int(start)}_{int(end)}",
        f"{name}_{int(start)}",
    )
    path = next((path for segment in segments if (path := videos.find(segment))), None)
    if path is None and (path := videos.find(name)) is not None and not trimmed:
        video = VideoFile(path, start=start, end=end, labels=labels)
    else:
        video = VideoFile(path or f"{segments[0]}.mp4", labels=labels)
    return Listed(video, "", split, row.where, exists=path is not None)
