"""YouCook2 by its official JSON file: segments of cooking videos, each with a sentence."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile, existing_folder, sorted_classes
from data_pipelines.sources.listing import Listed, find_lists, listed_sources
from data_pipelines.sources.rows import Row, read_csv, read_json
from data_pipelines.sources.walk import VideosByName
from data_pipelines.video import Caption

_PATTERNS = ("youcookii_annotations_*.json", "*youcook*.csv")
_SPLITS = {"training": "train", "validation": "val", "testing": "test"}
_COLUMNS = ("video_id", "start", "end", "text")


@dataclasses.dataclass(frozen=True)
class _Segment:
    name: str
    start: float
    end: float
    sentence: str
    recipe: str
    split: str
    where: str


def read_youcook2(
    root: str | pathlib.Path, lists: str | pathlib.Path = ""
) -> dict[str, FileSource]:
    """Reads YouCook2: `youcookii_annotations_trainval.json`, or the CSV file of MIL-NCE.

    Each segment is a video of its own, whose label is the recipe's type and whose sentence is the
    segment's. Two sentences of one segment are those of one video.

    Args:
      root: the folder of the videos, `ID.mp4` or in another container, anywhere below it.
      lists: the file, or its folder; "" = the root, or `annotations` in or beside it. Columns of
        the CSV file (`validation_youcook.csv`): video_id, start, end, text[, task]; its split is
        "val".

    Returns:
      The splits that are listed, of "train", "val" and "test".

    Raises:
      UserError: the list is missing or malformed.
    """
    root = existing_folder(root, "the youcook2 folder")
    path = pathlib.Path(lists) if lists else None
    if path is None or path.is_dir():
        folder = find_lists("youcook2", root, lists, ("annotations",), _PATTERNS)
        found = [file for pattern in _PATTERNS for file in sorted(folder.glob(pattern))]
        if not found:
            raise UserError(f"no list of youcook2 in {folder}: looked for {' '.join(_PATTERNS)}")
        path = found[0]
    segments = _of_csv(path) if path.suffix.lower() == ".csv" else _of_json(path)
    videos, entries = VideosByName(root), {}
    for segment in segments:
        listed = _listed(segment, videos)
        if (before := entries.get(listed.video.id)) is not None:
            both = (*before.video.captions, *listed.video.captions)
            listed = dataclasses.replace(
                before, video=dataclasses.replace(before.video, captions=both)
            )
        entries[listed.video.id] = listed
    in_order = sorted(entries.values(), key=lambda entry: list(_SPLITS.values()).index(entry.split))
    classes = sorted_classes({entry.class_name for entry in in_order if entry.class_name})
    return listed_sources("youcook2", root, in_order, classes)


def _listed(segment: _Segment, videos: VideosByName) -> Listed:
    path = videos.find(segment.name, (segment.split, segment.recipe))
    video = VideoFile(
        path or f"{segment.name}.mp4",
        start=segment.start,
        end=segment.end,
        captions=(Caption(segment.sentence),) if segment.sentence else (),
    )
    return Listed(video, segment.recipe, segment.split, segment.where, exists=path is not None)


def _of_json(path: pathlib.Path) -> Iterator[_Segment]:
    database = read_json(path, dict).get("database")
    if not isinstance(database, dict):
        raise UserError(f"{path} has no object 'database': is it the official file?")
    for name, about in database.items():
        subset = about.get("subset") if isinstance(about, dict) else None
        if subset not in _SPLITS:
            raise UserError(f"{path.name}: video {name}: subset {subset!r} is unknown")
        annotations = about.get("annotations")
        for number, entry in enumerate(annotations if isinstance(annotations, list) else []):
            where = f"{path.name}: video {name} segment {number}"
            start, end = _bounds(entry, where)
            yield _Segment(
                name,
                start,
                end,
                str(entry.get("sentence", "")).strip(),
                str(about.get("recipe_type", "")),
                _SPLITS[subset],
                where,
            )


def _bounds(entry: Any, where: str) -> tuple[float, float]:
    bounds = entry.get("segment") if isinstance(entry, dict) else None
    if isinstance(bounds, list) and len(bounds) == 2:
        start, end = bounds
        if all(isinstance(time, int | float) for time in bounds) and 0 <= start < end:
            return float(start), float(end)
    raise UserError(f"{where}: 'segment' must be [start, end] in seconds, not {bounds!r}")


def _of_csv(path: pathlib.Path) -> Iterator[_Segment]:
    table = read_csv(path)
    for column in _COLUMNS:
        table.need(column)
    for row in table.rows:
        yield _of_row(row)


def _of_row(row: Row) -> _Segment:
    name, start, end = row.text("video_id"), row.seconds("start"), row.seconds("end")
    if not name or start is None or end is None or end <= start:
        raise UserError(f"{row.where}: give a video_id, a start and a later end, in seconds")
    return _Segment(name, start, end, row.text("text"), row.text("task"), "val", row.where)
