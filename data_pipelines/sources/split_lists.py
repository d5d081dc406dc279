"""UCF101, HMDB51 and JHMDB by their official train/test lists."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile, existing_folder
from data_pipelines.sources.listing import Listed, find_lists, listed_sources
from data_pipelines.sources.walk import VideosByName

_FOLDERS = {"hmdb51": "testTrainMulti_7030_splits", "jhmdb": "splits"}

_Entry = tuple[str, str, str, str]  # class, file name, split, place in the lists


def read_ucf101(
    root: str | pathlib.Path, lists: str | pathlib.Path = "", split: int = 1
) -> dict[str, FileSource]:
    """Reads UCF101: `classInd.txt`, `trainlistNN.txt` and `testlistNN.txt`.

    Args:
      root: the folder of the videos, which may lie in class folders.
      lists: the folder of the lists; "" = `ucfTrainTestlist` in or beside the root.
      split: 1, 2 or 3.

    Returns:
      {"train": ..., "test": ...}; labels follow `classInd.txt`, from 0.

    Raises:
      UserError: a list is missing or malformed.
    """
    root = existing_folder(root, "the ucf101 folder")
    lists = find_lists("ucf101", root, lists, ("ucfTrainTestlist",), ("classInd.txt",))
    classes = []
    for where, line in _lines(lists / "classInd.txt"):
        number, _, name = line.partition(" ")
        if number != str(len(classes) + 1) or not name:
            raise UserError(f"{where}: {line!r} is not '{len(classes) + 1} ClassName'")
        classes.append(name.strip())
    entries: list[_Entry] = []
    for part in ("train", "test"):
        for where, line in _lines(lists / f"{part}list{split:02d}.txt"):
            # Train lists end in the class number. The path, which comes first, holds the class too.
            class_name, _, name = re.sub(r"\s+\d+$", "", line).partition("/")
            if class_name not in classes:
                raise UserError(f"{where}: class {class_name!r} is not in the list of classes")
            entries.append((class_name, name, part, where))
    return _sources(f"ucf101-{split}", root, classes, entries)


def read_hmdb51(
    root: str | pathlib.Path,
    lists: str | pathlib.Path = "",
    split: int = 1,
    name: Literal["hmdb51", "jhmdb"] = "hmdb51",
) -> dict[str, FileSource]:
    """Reads HMDB51 or JHMDB: one `<class>_test_split{N}.txt` per class.

    Each line names a video and its use: 1 train, 2 test, 0 neither.

    Args:
      root: the folder of the videos, which may lie in class folders.
      lists: the folder of the lists; "" = `testTrainMulti_7030_splits` (JHMDB: `splits`) in or
        beside the root.
      split: 1, 2 or 3.
      name: which of the two; their lists have one form.

    Returns:
      {"train": ..., "test": ...}; labels follow the sorted class names.

    Raises:
      UserError: the lists are missing or malformed.
    """
    root = existing_folder(root, f"the {name} folder")
    suffix = f"_test_split{split}.txt"
    lists = find_lists(name, root, lists, (_FOLDERS[name],), (f"*{suffix}",))
    files = {path.name.removesuffix(suffix): path for path in lists.glob(f"*{suffix}")}
    if not files:
        raise UserError(
            f"no list in {lists}: looked for files ending in {suffix}; check --config.data.lists "
            "and --config.data.list_split"
        )
    entries: list[_Entry] = []
    for class_name in sorted(files):
        for where, line in _lines(files[class_name]):
            file, _, use = line.rpartition(" ")
            if use not in ("0", "1", "2") or not file:
                raise UserError(f"{where}: {line!r} is not 'file.avi' with 0, 1 or 2")
            if use != "0":
                part = "train" if use == "1" else "test"
                entries.append((class_name, file.strip(), part, where))
    entries.sort(key=lambda entry: entry[2], reverse=True)  # train first; the order within stays
    return _sources(f"{name}-{split}", root, sorted(files), entries)


def _sources(
    name: str, root: pathlib.Path, classes: Sequence[str], entries: Sequence[_Entry]
) -> dict[str, FileSource]:
    videos = VideosByName(root, classes)
    listed = []
    for class_name, file, part, where in entries:
        path = videos.find(file, (class_name,))
        video = VideoFile(path or f"{class_name}/{file}")
        listed.append(Listed(video, class_name, part, where, exists=path is not None))
    return listed_sources(name, root, listed, classes)


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
