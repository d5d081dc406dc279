"""Videos listed in a CSV or JSON Lines file of one's own."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Literal

from data_pipelines.captions import CaptionFile, captions_of, within
from data_pipelines.errors import UserError
from data_pipelines.sources.files import (
    FileSource,
    VideoFile,
    existing_folder,
    path_inside,
    sorted_classes,
)
from data_pipelines.sources.listing import Listed, listed_sources
from data_pipelines.sources.rows import Row, read_csv, read_jsonl
from data_pipelines.video import Caption


def read_manifest(
    path: str | pathlib.Path,
    root: str | pathlib.Path | None = None,
    label_column: str = "label",
    split_column: str = "split",
    format: Literal["csv", "jsonl"] = "csv",
    caption_column: str = "caption",
) -> dict[str, FileSource]:
    """Reads a list of videos: one row per video, or per segment of a video.

    `path` is required; `start` and `end`, in seconds from the first frame, cut out a segment;
    further columns are free. A row with an empty label is unlabelled (-1). Labels are class names,
    in one order for all splits.

    Sentences are in one of three columns: `caption` is one about the whole video (or segment);
    `captions` are several, with times if these are known, in a form that `captions_of` reads (in
    CSV, as text of JSON); `captions_file` names a file that `read_captions` reads, by a path like
    that of the video. Their times are those of the file; a segment takes what overlaps it.

    Args:
      path: the list, in UTF-8. In CSV the first row names the columns; in JSON Lines every line is
        an object with the columns as fields.
      root: the folder that paths are relative to, None for the list's own.
      label_column: the column of class names. If left at "label" it may be missing: unlabelled.
      split_column: the column of split names. If left at "split" it may be missing: one split.
      format: of the list.
      caption_column: the column of single sentences. If left at "caption" it may be missing.

    Returns:
      A source for each value of the split column in order of appearance, or {"all": ...}.

    Raises:
      UserError: the file, a column or a value is missing or wrong.
    """
    path = pathlib.Path(path)
    folder = existing_folder(root or path.parent, "the root folder of the videos")
    table = (read_csv if format == "csv" else read_jsonl)(path)
    table.need("path")
    if label_column != "label":
        table.need(label_column)
    if split_column != "split":
        table.need(split_column)
    if caption_column != "caption":
        table.need(caption_column)
    has_splits = split_column in table.columns
    entries = [
        _listed(row, folder, label_column, split_column if has_splits else None, caption_column)
        for row in table.rows
    ]
    classes = sorted_classes({entry.class_name for entry in entries if entry.class_name})
    return listed_sources(path.stem, folder, entries, classes)


def _listed(
    row: Row,
    folder: pathlib.Path,
    label_column: str,
    split_column: str | None,
    caption_column: str,
) -> Listed:
    listed = row.text("path")
    if not listed:
        raise UserError(f"{row.where}: the path is empty")
    start, end = row.seconds("start"), row.seconds("end")
    if end is not None and end <= (start or 0.0):
        raise UserError(
            f"{row.where}: the segment ends at {end:g} s, not after {start or 0:g} s; "
            "put the later time in 'end'"
        )
    split = row.text(split_column) if split_column else "all"
    if not split:
        raise UserError(
            f"{row.where}: column {split_column!r} is empty: name the split of the video"
        )
    video = VideoFile(
        path_inside(folder, listed, row.where),
        start=start,
        end=end,
        captions=_captions(row, folder, caption_column, start, end),
    )
    return Listed(
        video=video,
        class_name=row.text(label_column),
        split=split,
        where=row.where,
        exists=os.path.isfile(f"{folder}/{video.path}"),
    )


def _captions(
    row: Row,
    folder: pathlib.Path,
    caption_column: str,
    start: float | None,
    end: float | None,
) -> Sequence[Caption]:
    columns = (caption_column, "captions", "captions_file")
    given = [column for column in columns if row.values.get(column) not in (None, "")]
    if len(given) > 1:
        raise UserError(f"{row.where}: give sentences in one column, not in {' and '.join(given)}")
    if not given:
        return ()
    if given == ["captions_file"]:
        file = f"{folder}/{path_inside(folder, row.text('captions_file'), row.where)}"
        if not os.path.isfile(file):
            raise UserError(f"{row.where}: captions_file {file} does not exist")
        return CaptionFile(file, start, end)
    if given == [caption_column]:
        return captions_of(row.text(caption_column))
    value = row.values["captions"]
    try:
        return within(
            captions_of(json.loads(value) if isinstance(value, str) else value), start, end
        )
    except (ValueError, RecursionError) as error:
        raise UserError(f"{row.where}: captions: {error}") from error
