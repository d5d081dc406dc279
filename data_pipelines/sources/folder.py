"""Videos in a folder: class sub-folders give labels, train and test sub-folders give splits."""

from __future__ import annotations

import logging
import pathlib

from data_pipelines.errors import UserError
from data_pipelines.names import as_utf8
from data_pipelines.sources.files import FileSource, VideoFile, existing_folder
from data_pipelines.sources.walk import EXTENSIONS, IMAGES, is_video, videos_below

log = logging.getLogger(__name__)

SPLIT_FOLDERS = {"train": "train", "test": "test", "val": "test", "validation": "test"}
"""First-level folder names that are splits, and the split that each is."""


def scan_folder(root: str | pathlib.Path, split: str = "all") -> FileSource:
    """Finds all videos below a folder.

    Args:
      root: the folder.
      split: "all", or one of the splits that `folder_splits` finds.

    Raises:
      UserError: no such folder, no video in it, or no such split.
    """
    splits = folder_splits(root)
    if split not in splits:
        raise UserError(
            f"folder {root} has no split {split!r}, only {', '.join(splits)}: put the videos into "
            "sub-folders 'train' and 'test', or hold out a part of them"
        )
    return splits[split]


def folder_splits(root: str | pathlib.Path) -> dict[str, FileSource]:
    """Finds all videos below a folder, by split.

    Videos are labelled when all of them lie in sub-folders of the root (of the split's folder):
    the first-level sub-folder is the class. Hidden files and folders are passed over, and the order
    is that of the names. A folder without any video is one of its images: videos of one frame,
    which clips repeat.

    Args:
      root: the folder. If its first level is nothing but `train` and `test` (or `val`, or
        `validation`) folders, with no video beside them, these are splits over the same classes.

    Returns:
      {"train": ..., "test": ...}, or {"all": ...} without both of them.

    Raises:
      UserError: no such folder, or no video in it or in one of its splits.
    """
    root = existing_folder(root, "the video folder")
    tops = _split_folders(root)
    found = {
        split: [
            f"{folder}/{path}" if folder else path
            for folder in folders
            for path in _videos_or_images(root / folder)
        ]
        for split, folders in (tops or {"all": [""]}).items()
    }
    for split, paths in found.items():
        if not paths:
            place = root / tops[split][0] if tops else root
            raise UserError(
                f"no video in folder {place}: looked in it and below for files ending in "
                f"{' '.join(EXTENSIONS)}, or images; name another folder with --config.data.root"
            )
    depth = 1 if tops else 0
    parts = {split: [path.split("/") for path in paths] for split, paths in found.items()}
    everywhere = [part for paths in parts.values() for part in paths]
    labelled = all(len(part) > depth + 1 for part in everywhere)
    classes = tuple(sorted({as_utf8(part[depth]) for part in everywhere})) if labelled else ()
    label_of = {name: label for label, name in enumerate(classes)}
    name = as_utf8(root.resolve().name)
    return {
        split: FileSource(
            name=name if split == "all" else f"{name}/{split}",
            videos=tuple(
                VideoFile("/".join(part), label_of[as_utf8(part[depth])] if labelled else -1)
                for part in paths
            ),
            classes=classes,
            root=str(root),
        )
        for split, paths in parts.items()
    }


def _videos_or_images(folder: pathlib.Path) -> list[str]:
    """The videos below a folder; without any its images, each a video of one frame."""
    if videos := videos_below(folder):
        return videos
    images = videos_below(folder, IMAGES)
    if images:
        log.info("no video in %s: each of its %d images is one of one frame", folder, len(images))
    return images


def _split_folders(root: pathlib.Path) -> dict[str, list[str]]:
    """Returns split -> its folders if the first level holds splits and nothing else, else {}.

    A lone train folder is no split, but no class either.
    """
    visible = [entry for entry in sorted(root.iterdir()) if not entry.name.startswith(".")]
    folders = [entry.name for entry in visible if entry.is_dir()]
    splits: dict[str, list[str]] = {}
    for folder in folders:
        if folder.lower() in SPLIT_FOLDERS:
            splits.setdefault(SPLIT_FOLDERS[folder.lower()], []).append(folder)
    loose = any(entry.is_file() and is_video(entry.name) for entry in visible)
    only_splits = sum(map(len, splits.values())) == len(folders)
    if loose or not only_splits or "train" not in splits:
        return {}
    if "test" not in splits:
        return {"all": splits["train"]}
    return {"train": splits["train"], "test": splits["test"]}
