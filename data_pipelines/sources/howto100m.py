"""HowTo100M: narrated videos, with what is said in them."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Mapping, Sequence

from data_pipelines.captions import SUFFIXES, CaptionFile, captions_of
from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile, existing_folder
from data_pipelines.sources.listing import Listed, find_lists, listed_sources
from data_pipelines.sources.rows import Row, read_csv, read_json
from data_pipelines.sources.walk import VideosByName
from data_pipelines.video import Caption

_PATTERNS = ("HowTo100M_v*.csv", "*howto100m*.csv")
_FOLDER, _FILE = "howto100m_captions", "caption.json"  # as they are called where they come from
_LARGEST = 512 << 20  # bytes of JSON held in memory by every process


def read_howto100m(
    root: str | pathlib.Path, lists: str | pathlib.Path = "", captions: str | pathlib.Path = ""
) -> dict[str, FileSource]:
    """Reads HowTo100M: a CSV file of videos, and the sentences spoken in each.

    Args:
      root: the folder of the videos, `ID.mp4` or in another container, anywhere below it.
      lists: the CSV file (or its folder) with a column `video_id`, or `video_path` as that of
        MIL-NCE has; "" = `HowTo100M_v1.csv` in or beside the root.
      captions: a folder of one file per video (`ID.csv` as of MIL-NCE, or .json, .srt, .vtt), or
        one JSON object of all videos, {"ID": {"text": [...], "start": [...], "end": [...]}};
        "" = `howto100m_captions` or `caption.json` in or beside the root.

    Returns:
      {"train": ...}, unlabelled. A video without sentences is kept.

    Raises:
      UserError: a list is missing or malformed, or the JSON object too large to be held.
    """
    root = existing_folder(root, "the howto100m folder")
    path = pathlib.Path(lists) if lists else None
    if path is None or path.is_dir():
        folder = find_lists("howto100m", root, lists, ("annotations", "csv"), _PATTERNS)
        found = sorted({file for pattern in _PATTERNS for file in folder.glob(pattern)})
        if not found:
            raise UserError(
                f"no list of howto100m in {folder}: looked for {' '.join(_PATTERNS)}; name the "
                "file by --config.data.lists"
            )
        path = found[0]
    table = read_csv(path)
    if "video_path" not in table.columns:
        table.need("video_id")
    sentences = _sentences(root, captions)
    videos, entries = VideosByName(root), {}
    for row in table.rows:  # a video of several tasks has several rows
        name = _name(row)
        if name not in entries:
            entries[name] = _listed(row, name, videos, sentences)
    return listed_sources("howto100m", root, list(entries.values()), ())


def _name(row: Row) -> str:
    name = row.text("video_id") or os.path.splitext(row.text("video_path").rpartition("/")[2])[0]
    if not name:
        raise UserError(f"{row.where}: the video has no name")
    return name


def _listed(
    row: Row, name: str, videos: VideosByName, sentences: Mapping[str, Sequence[Caption]]
) -> Listed:
    path = videos.find(name)
    video = VideoFile(path or f"{name}.mp4", captions=sentences.get(name, ()))
    return Listed(video, "", "train", row.where, exists=path is not None)


def _sentences(root: pathlib.Path, captions: str | pathlib.Path) -> Mapping[str, Sequence[Caption]]:
    """By name of the video."""
    place = pathlib.Path(captions) if captions else None
    if place is None:
        above = root.absolute().parent
        usual = [folder / name for folder in (root, above) for name in (_FOLDER, _FILE)]
        place = next((path for path in usual if path.exists()), None)
        if place is None:
            logging.getLogger(__name__).warning(
                "howto100m: no sentences: neither %s nor %s is in or beside %s; name their place "
                "by config.data.captions", _FOLDER, _FILE, root,
            )  # fmt: skip
            return {}
    if place.is_dir():
        files = sorted(os.listdir(place))
        return {
            stem: CaptionFile(str(place / name))
            for name in files
            for stem, suffix in (os.path.splitext(name),)
            if suffix.lower() in SUFFIXES
        }
    if place.is_file() and place.stat().st_size > _LARGEST:
        raise UserError(
            f"{place} is too large to be held in memory by every process: write a file for each "
            f"video with python -m data_pipelines.captions {place} FOLDER, and name that folder by "
            "--config.data.captions"
        )
    spoken = {}
    for name, value in read_json(place, dict).items():
        try:
            spoken[name] = captions_of(value)
        except ValueError as error:
            raise UserError(f"{place}: video {name}: {error}") from error
    return spoken
