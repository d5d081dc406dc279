"""A collection of video files."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines.decode import Limits, VideoFileReader, open_video
from data_pipelines.decode.limits import DEFAULT
from data_pipelines.errors import BadVideo, UserError
from data_pipelines.video import Caption, MissingVideo, VideoInfo

OUTSIDE = "it is a link that leads out of {root}; the option follow_links reads such, too"


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """One video, or one segment of a video.

    Attributes:
      path: the file, relative to the root of its source, with forward slashes.
      label: class index, -1 for none.
      start: seconds from the first frame, None for the beginning.
      end: seconds from the first frame, None for the end.
      captions: what is said, by the clock of the segment.
      labels: class indices where a video may have several, None elsewhere.
    """

    path: str
    label: int = -1
    start: float | None = None
    end: float | None = None
    captions: Sequence[Caption] = ()
    labels: tuple[int, ...] | None = None

    @property
    def id(self) -> str:
        """The path, with `#start-end` for a segment."""
        if self.start is None and self.end is None:
            return self.path
        return f"{self.path}#{_seconds(self.start)}-{_seconds(self.end)}"


@dataclasses.dataclass(frozen=True)
class FileSource:
    """Video files under one folder; a `Source`.

    Attributes:
      name: what it is called in reports.
      videos: the videos, in an order that is the same in every run.
      classes: class names by label, () for an unlabelled collection.
      root: the folder that paths are relative to.
      missing: listed videos that do not exist.
      limits: what a file may ask for before it is refused.
    """

    name: str
    videos: tuple[VideoFile, ...]
    classes: tuple[str, ...]
    root: str
    missing: tuple[MissingVideo, ...] = ()
    limits: Limits = DEFAULT

    @property
    def factors(self) -> Mapping[str, np.ndarray]:
        """No further grouping of the classes is known for files."""
        return {}

    def __len__(self) -> int:
        return len(self.videos)

    def info(self, index: int) -> VideoInfo:
        """Returns what is known of video `index` without opening it."""
        video = self.videos[index]
        return VideoInfo(video.id, self._path(video), video.label, video.captions, video.labels)

    def open(self, index: int) -> VideoFileReader:
        """Opens video `index`.

        Raises:
          BadVideo: the video cannot be read, or its path leads out of the root.
        """
        video = self.videos[index]
        path = self._path(video)
        if not self.limits.follow_links and leads_out(self.root, path):
            raise BadVideo(path, OUTSIDE.format(root=self.root))
        return open_video(path, start=video.start, end=video.end, limits=self.limits)

    def _path(self, video: VideoFile) -> str:
        return str(pathlib.Path(self.root, video.path))


def existing_folder(root: str | pathlib.Path, what: str) -> pathlib.Path:
    """Returns `root` as a path.

    Raises:
      UserError: there is no such folder, or it is a file; `what` says which folder was meant.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "does not exist"
        raise UserError(f"{what} {root} {problem}: name an existing folder")
    return root


def path_inside(root: pathlib.Path, listed: str, where: str) -> str:
    """Returns a listed path relative to `root`, with forward slashes.

    Args:
      root: the folder that holds the videos.
      listed: a path as a list names it, relative to `root` or absolute.
      where: the list and line, for the message.

    Raises:
      UserError: the path leads out of `root`, by "..", as an absolute path or through a link.
    """
    real_root = _real_folder(str(root))
    path = os.path.join(real_root, listed)
    if "\0" in listed or leads_out(real_root, path):
        raise UserError(
            f"{where}: path {listed!r} leads out of {root}: list only files below that folder, or "
            "name another root"
        )
    if os.path.isabs(listed) or ".." in pathlib.PurePath(listed).parts:
        listed = os.path.relpath(os.path.realpath(path), real_root)
    return pathlib.PurePath(listed).as_posix()


def leads_out(root: str, path: str) -> bool:
    """Whether a path below `root` by its name is outside of it, by ".." or through a link."""
    # Plain strings, and a look at the file alone: lists of hundreds of thousands are common.
    folder, name = os.path.split(path)
    try:
        real_root, real = _real_folder(root), os.path.join(_real_folder(folder), name)
        if name in ("", ".", "..") or os.path.islink(real):
            real = os.path.realpath(path)
        return os.path.commonpath([real, real_root]) != real_root
    except (ValueError, OSError):
        return True


@functools.lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def sorted_classes(names: set[str]) -> tuple[str, ...]:
    """Returns class names in label order: by number if all are whole numbers, else by name."""
    if all(re.fullmatch(r"[+-]?\d{1,18}", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _seconds(value: float | None) -> str:
    return "" if value is None else repr(float(value)).removesuffix(".0")
