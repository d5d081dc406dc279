"""The official train/test lists of UCF101 and HMDB51, in the form in which they are distributed."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable

from data_pipelines.errors import UserError
from data_pipelines.sources.files import (
    FileSource,
    VideoFile,
    existing_folder,
    path_inside,
    refuse_missing,
)

_Listed = tuple[str, str, str]  # class, path below the root, place in the lists


def read_ucf101(
    root: str | pathlib.Path, lists: str | pathlib.Path, split: int = 1
) -> dict[str, FileSource]:
    """Reads UCF101: `classInd.txt`, `trainlistNN.txt` and `testlistNN.txt`.

    Args:
      root: the folder of the videos, as `root/Class/video.avi` or `root/video.avi`.
      lists: the folder of the lists (`ucfTrainTestlist`).
      split: 1, 2 or 3.

    Returns:
      {"train": ..., "test": ...}; labels follow `classInd.txt`, from 0.

    Raises:
      UserError: a list is missing or malformed, or listed videos are missing.
    """
    root, lists = existing_folder(root, "the UCF101 folder"), existing_folder(lists, "the folder")
    classes = []
    for where, line in _lines(lists / "classInd.txt"):
        number, _, name = line.partition(" ")
        if number != str(len(classes) + 1) or not name:
            raise UserError(f"{where}: {line!r} is not '{len(classes) + 1} ClassName'")
        classes.append(name.strip())
    listed: dict[str, list[_Listed]] = {}
    for part in ("train", "test"):
        listed[part] = []
        for where, line in _lines(lists / f"{part}list{split:02d}.txt"):
            # Train lists end in the class number. The path, which comes first, holds the class too.
            path = re.sub(r"\s+\d+$", "", line)
            listed[part].append((path.partition("/")[0], path, where))
    return _sources("ucf101", split, root, classes, listed)


def read_hmdb51(
    root: str | pathlib.Path, lists: str | pathlib.Path, split: int = 1
) -> dict[str, FileSource]:
    """Reads HMDB51: one `<class>_test_split{N}.txt` per class.

    Each line names a video and its use: 1 train, 2 test, 0 neither.

    Args:
      root: the folder of the videos, as `root/class/video.avi` or `root/video.avi`.
      lists: the folder of the lists (`testTrainMulti_7030_splits`).
      split: 1, 2 or 3.

    Returns:
      {"train": ..., "test": ...}; labels follow the sorted class names.

    Raises:
      UserError: the lists are missing or malformed, or listed videos are missing.
    """
    root, lists = existing_folder(root, "the HMDB51 folder"), existing_folder(lists, "the folder")
    suffix = f"_test_split{split}.txt"
    files = {path.name.removesuffix(suffix): path for path in lists.glob(f"*{suffix}")}
    if not files:
        raise UserError(f"no list in {lists}: looked for files ending in {suffix}")
    classes = sorted(files)
    listed: dict[str, list[_Listed]] = {"train": [], "test": []}
    for name in classes:
        for where, line in _lines(files[name]):
            path, _, use = line.rpartition(" ")
            if use not in ("0", "1", "2") or not path:
                raise UserError(f"{where}: {line!r} is not 'file.avi' with 0, 1 or 2")
            if use != "0":
                part = "train" if use == "1" else "test"
                listed[part].append((name, f"{name}/{path.strip()}", where))
    return _sources("hmdb51", split, root, classes, listed)


def _sources(
    name: str,
    split: int,
    root: pathlib.Path,
    classes: list[str],
    listed: dict[str, list[_Listed]],
) -> dict[str, FileSource]:
    """Places the listed videos below the root, in class folders or all in one."""
    label_of = {class_name: label for label, class_name in enumerate(classes)}
    videos: dict[str, tuple[VideoFile, ...]] = {}
    every: list[tuple[str, str]] = []
    for part, entries in listed.items():
        of_part = []
        for class_name, path, where in entries:
            if class_name not in label_of:
                raise UserError(f"{where}: class {class_name!r} is not in the list of classes")
            inside = path_inside(root, path, where)
            flat = inside.rpartition("/")[2]
            if not os.path.isfile(f"{root}/{inside}") and os.path.isfile(f"{root}/{flat}"):
                inside = flat
            of_part.append(VideoFile(inside, label_of[class_name]))
            every.append((inside, where))
        videos[part] = tuple(of_part)
    refuse_missing(root, every)
    return {
        part: FileSource(f"{name}-{split}/{part}", of_part, tuple(classes), str(root))
        for part, of_part in videos.items()
    }


def _lines(path: pathlib.Path) -> Iterable[tuple[str, str]]:
    """Returns the lines that are not blank, each with its place for messages."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"the list {path} does not exist: check its folder and split") from error
    except UnicodeDecodeError as error:
        raise UserError(f"the list {path} is not text in UTF-8") from error
    return [
        (f"{path.name} line {number}", line.strip())
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
