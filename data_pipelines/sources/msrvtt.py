"""MSR-VTT by its official JSON files and the lists of its 1k-A split."""

from __future__ import annotations

import logging
import pathlib
from typing import Any

from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile, existing_folder
from data_pipelines.sources.listing import Listed, find_lists, listed_sources
from data_pipelines.sources.rows import read_csv, read_json
from data_pipelines.sources.walk import VideosByName
from data_pipelines.video import Caption

_TEST = "MSRVTT_JSFUSION_test.csv"
_TRAIN = {1: "MSRVTT_train.9k.csv", 2: "MSRVTT_train.7k.csv"}
_JSON = ("MSRVTT_data.json", "train_val_videodatainfo.json", "test_videodatainfo.json")
_SPLITS = {"train": "train", "validate": "val", "test": "test"}


def read_msrvtt(
    root: str | pathlib.Path, lists: str | pathlib.Path = "", split: int = 1
) -> dict[str, FileSource]:
    """Reads MSR-VTT: videos of one clip each, with 20 sentences; in a 1k-A test, with one.

    Args:
      root: the folder of the videos (`video0.mp4`), which may lie in folders.
      lists: the folder of the lists: `MSRVTT_data.json`, or `train_val_videodatainfo.json` and
        `test_videodatainfo.json`; and for 1k-A the CSV files; "" = the root, or `annotation`,
        `annotations` or `msrvtt_data` in or beside it.
      split: 1 = 1k-A, trained on 9,000 videos (Yu et al., "A Joint Sequence Fusion Model for Video
        Question Answering and Retrieval", ECCV 2018); 2 = 1k-A, trained on 7,010; 3 = the official
        one (6,513 to train, 497 to validate, 2,990 to test).

    Returns:
      The splits, in this order, of "train", "val" and "test"; unlabelled.

    Raises:
      UserError: a list is missing or malformed.
    """
    root = existing_folder(root, "the msrvtt folder")
    folders = ("annotation", "annotations", "msrvtt_data")
    lists = find_lists("msrvtt", root, lists, folders, (_TEST, *_JSON))
    splits, sentences = _read_json(lists)
    videos = VideosByName(root)

    def listed(name: str, texts: list[str], split: str, where: str) -> Listed:
        path = videos.find(name)
        video = VideoFile(path or f"{name}.mp4", captions=tuple(map(Caption, texts)))
        return Listed(video, "", split, where, exists=path is not None)

    if split == 3:
        if not splits:
            raise UserError(
                f"none of {', '.join(_JSON)} is in {lists}: the official split needs it"
            )
        entries = [
            listed(name, sentences.get(name, []), splits[name], f"video {name}")
            for split_name in _SPLITS.values()
            for name in splits
            if splits[name] == split_name
        ]
        return listed_sources("msrvtt", root, entries, ())
    if not sentences:
        logging.getLogger(__name__).warning(
            "msrvtt: the training videos have no sentences: none of %s is in %s",
            ", ".join(_JSON), lists,
        )  # fmt: skip
    train, test = read_csv(lists / _TRAIN[split]), read_csv(lists / _TEST)
    for table, columns in ((train, ("video_id",)), (test, ("video_id", "sentence"))):
        for column in columns:
            table.need(column)
    entries = [
        listed(row.text("video_id"), sentences.get(row.text("video_id"), []), "train", row.where)
        for row in train.rows
    ]
    entries += [
        listed(row.text("video_id"), [row.text("sentence")], "test", row.where) for row in test.rows
    ]
    return listed_sources(f"msrvtt-{split}", root, entries, ())


def _read_json(lists: pathlib.Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Returns the split of each video, and its sentences, from all JSON files there are."""
    splits: dict[str, str] = {}
    sentences: dict[str, list[str]] = {}
    for name in _JSON:
        if not (lists / name).is_file():
            continue
        content = read_json(lists / name, dict)
        for video in _entries(content, "videos", name, ("video_id", "split")):
            if video["split"] not in _SPLITS:
                raise UserError(f"{name}: {video['video_id']}: split {video['split']!r} is unknown")
            splits[video["video_id"]] = _SPLITS[video["split"]]
        for said in _entries(content, "sentences", name, ("video_id", "caption")):
            if said["caption"].strip():
                sentences.setdefault(said["video_id"], []).append(said["caption"])
    return splits, sentences


def _entries(
    content: dict[str, Any], field: str, name: str, needed: tuple[str, ...]
) -> list[dict[str, Any]]:
    entries = content.get(field)
    if not isinstance(entries, list):
        raise UserError(f"{name} has no list {field!r}: is it the official file?")
    for number, entry in enumerate(entries, start=1):
        fits = isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in needed)
        if not fits:
            raise UserError(f"{name}: entry {number} of {field!r} lacks {' or '.join(needed)}")
    return entries
