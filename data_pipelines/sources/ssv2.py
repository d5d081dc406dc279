"""Something-Something v2 by its official JSON files."""

from __future__ import annotations

import pathlib
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile, existing_folder
from data_pipelines.sources.listing import Listed, find_lists, listed_sources
from data_pipelines.sources.rows import read_json
from data_pipelines.sources.walk import VideosByName

_PREFIXES = ("something-something-v2-", "")
_LABELS = tuple(f"{prefix}labels.json" for prefix in _PREFIXES)
_SPLITS = {"train": "train", "val": "validation", "test": "test"}


def read_ssv2(root: str | pathlib.Path, lists: str | pathlib.Path = "") -> dict[str, FileSource]:
    """Reads `labels.json` and those of `train.json`, `validation.json`, `test.json` that exist.

    Their names may begin with `something-something-v2-`, as they once did. A video is found by its
    number anywhere below the root (`<id>.webm`).

    Args:
      root: the folder of the videos (`20bn-something-something-v2`).
      lists: the folder of the JSON files; "" = the root or the folder above it, or `labels` or
        `annotations` in either.

    Returns:
      The splits that are listed, of "train", "val" and "test"; labels follow `labels.json`. The
      test split has none.

    Raises:
      UserError: a list is missing or malformed.
    """
    root = existing_folder(root, "the ssv2 folder")
    lists = find_lists("ssv2", root, lists, ("labels", "annotations"), _LABELS)
    labels = read_json(_file(lists, "labels") or lists / "labels.json", dict)
    if sorted(map(str, labels.values())) != sorted(map(str, range(len(labels)))):
        raise UserError(
            f"{lists}: the labels of labels.json are not the numbers from 0 to {len(labels) - 1}"
        )
    classes = sorted(labels, key=lambda name: int(labels[name]))
    videos, entries, known = VideosByName(root), [], set(classes)
    for split, file_name in _SPLITS.items():
        path = _file(lists, file_name)
        for number, entry in enumerate(read_json(path, list) if path else [], start=1):
            where = f"{path.name if path else ''} entry {number}"
            entries.append(_listed(entry, split, where, videos, known))
    if not entries:
        raise UserError(f"no video is listed in {lists}: looked for train.json and validation.json")
    return listed_sources("ssv2", root, entries, classes)


def _listed(entry: Any, split: str, where: str, videos: VideosByName, known: set[str]) -> Listed:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise UserError(f'{where}: {str(entry)[:60]!r} is not an object like {{"id": "1", ...}}')
    class_name = ""
    if split != "test":
        # A template is the class with the objects to name in brackets: "Closing [something]".
        class_name = str(entry.get("template", "")).replace("[", "").replace("]", "")
        if class_name not in known:
            raise UserError(
                f"{where}: template {entry.get('template')!r} is no class of labels.json: take all "
                "lists from one release"
            )
    path = videos.find(entry["id"])
    video = VideoFile(path or f"{entry['id']}.webm")
    return Listed(video, class_name, split, where, exists=path is not None)


def _file(lists: pathlib.Path, name: str) -> pathlib.Path | None:
    paths = (lists / f"{prefix}{name}.json" for prefix in _PREFIXES)
    return next((path for path in paths if path.is_file()), None)
