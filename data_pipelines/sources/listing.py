"""From the entries of a list to sources: the one way of all lists, and where lists are found."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Sequence

from data_pipelines.errors import UserError
from data_pipelines.sources.files import FileSource, VideoFile, existing_folder
from data_pipelines.video import MissingVideo, Source

_SHOWN = 3  # missing videos that a message names


@dataclasses.dataclass(frozen=True)
class Listed:
    """What a list says of one video.

    Attributes:
      video: its file; where it was looked for if it does not exist. The label is not used.
      class_name: of its class, "" for none.
      split: the split that it belongs to, "all" where the list knows of none.
      where: the list and line.
      exists: whether the file does.
    """

    video: VideoFile
    class_name: str
    split: str
    where: str
    exists: bool


def listed_sources(
    name: str, root: pathlib.Path, entries: Sequence[Listed], classes: Sequence[str]
) -> dict[str, FileSource]:
    """Makes a source of each split, in order of appearance.

    Args:
      name: of the collection; a split's source is called `name/split`.
      root: the folder that paths are relative to.
      entries: what is listed. What does not exist becomes the `missing` of its source.
      classes: the names of all classes, in label order.

    Raises:
      UserError: one video is listed twice.
    """
    label_of = {"": -1} | {class_name: label for label, class_name in enumerate(classes)}
    seen: dict[str, str] = {}
    videos: dict[str, list[VideoFile]] = {}
    missing: dict[str, list[MissingVideo]] = {}
    for entry in entries:
        video = entry.video
        if video.id in seen:
            raise UserError(
                f"{entry.where}: {video.id} is already in {seen[video.id]}: remove one of them, or "
                "give them different segments by their start and end"
            )
        seen[video.id] = entry.where
        there, absent = videos.setdefault(entry.split, []), missing.setdefault(entry.split, [])
        if entry.exists:
            there.append(dataclasses.replace(video, label=label_of[entry.class_name]))
        else:
            absent.append(MissingVideo(f"{root}/{video.path}", entry.where))
    return {
        split: FileSource(
            name=name if split == "all" else f"{name}/{split}",
            videos=tuple(of_split),
            classes=tuple(classes),
            root=str(root),
            missing=tuple(missing[split]),
        )
        for split, of_split in videos.items()
    }


def check_missing(source: Source, max_fraction: float) -> None:
    """Logs how many listed videos do not exist.

    Raises:
      UserError: more than `max_fraction` of them, or all.
    """
    missing, listed = source.missing, len(source) + len(source.missing)
    if not missing:
        return
    examples = "; ".join(f"{where}: {path}" for path, where in missing[:_SHOWN])
    found = (
        f"{source.name}: {len(missing)} of {listed} listed videos do not exist ({examples}"
        f"{'; ...' if len(missing) > _SHOWN else ''})"
    )
    if lacks_too_many(source, max_fraction):
        raise UserError(
            f"{found}, more than data.max_missing_fraction = {max_fraction:g}: check the root "
            "folder and the list, or raise --config.data.max_missing_fraction"
        )
    logging.getLogger(__name__).warning("%s; they are left out", found)


def lacks_too_many(source: Source, max_fraction: float) -> bool:
    """Whether more than a fraction of the listed videos do not exist, or all."""
    missing = len(source.missing)
    return bool(missing) and (not len(source) or missing > max_fraction * (len(source) + missing))


def find_lists(
    name: str,
    root: pathlib.Path,
    lists: str | pathlib.Path,
    folders: Sequence[str],
    patterns: Sequence[str],
) -> pathlib.Path:
    """Returns the folder that holds a collection's official lists.

    Args:
      name: of the collection.
      root: the folder of its videos.
      lists: the folder that the user named, "" to look in the usual places: `root`, `folders`
        below and beside it, and the folder above it.
      folders: what the folder of the lists is usually called.
      patterns: of the names of lists, as for `Path.glob`; any of them tells the folder.

    Raises:
      UserError: the named folder does not exist, or no list is in any of the usual places.
    """
    if lists:
        return existing_folder(lists, f"the folder of {name}'s lists")
    above = root.absolute().parent
    places = [root, *(root / f for f in folders), *(above / f for f in folders), above]
    for place in places:
        if any(True for pattern in patterns for _ in place.glob(pattern)):
            logging.getLogger(__name__).info("%s: lists in %s", name, place)
            return place
    raise UserError(
        f"no official list of {name} found: looked for {' '.join(patterns)} in "
        f"{', '.join(map(str, places))}; name its folder with --config.data.lists=DIR"
    )
