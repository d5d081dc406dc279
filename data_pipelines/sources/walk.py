"""Which videos lie below a folder."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence

from data_pipelines.errors import UserError

EXTENSIONS = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"),
    *(".ts", ".m2ts", ".mts", ".vob", ".3gp", ".3g2", ".flv", ".f4v", ".wmv", ".asf", ".ogv"),
    *(".mxf", ".dv", ".mjpeg", ".ivf", ".h264", ".264", ".h265", ".265", ".hevc", ".obu", ".y4m"),
    *(".rm", ".rmvb", ".divx", ".gif"),
)
"""What a video's name ends with, in any case."""

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""What an image's name ends with, in any case."""


def is_video(name: str, extensions: tuple[str, ...] = EXTENSIONS) -> bool:
    """Whether a file's name is that of a video (or of what else ends so), and not hidden."""
    return not name.startswith(".") and name.lower().endswith(extensions)


def videos_below(folder: str | pathlib.Path, extensions: tuple[str, ...] = EXTENSIONS) -> list[str]:
    """Returns the videos in a folder and below it, relative to it, sorted.

    Hidden files and folders are passed over. Links to folders are followed where they lead out of
    the folder: whether what lies there may be read is the source's to say, and it says so of each.

    Raises:
      UserError: a folder cannot be listed.
    """
    # Plain strings: hundreds of thousands of videos are common, and pathlib is slow.
    top = str(folder)
    found = []
    entered = {os.path.realpath(top)}
    for place, folders, files in os.walk(top, onerror=_refuse, followlinks=True):
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".") and _is_to_enter(os.path.join(place, name), entered)
        ]
        inside = os.path.relpath(place, top).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        found += [prefix + name for name in files if is_video(name, extensions)]
    return sorted(found)


def _is_to_enter(folder: str, entered: set[str]) -> bool:
    """Not a link into a folder, or to one above, that the walk comes through by itself."""
    if not os.path.islink(folder):
        return True
    real = os.path.realpath(folder)
    if any(os.path.commonpath([real, other]) in (real, other) for other in entered):
        return False
    entered.add(real)
    return True


class VideosByName:
    """The videos below a folder, found by the names of their files after one walk.

    Official lists name a video uniquely by its file. Whether it lies in a folder of its split or
    class, and in which container it is stored, differs from copy to copy.

    Args:
      root: the folder.
      classes: where they are told apart by folders, the names of these: a file that lies in that of
        another class is another video.
    """

    def __init__(self, root: str | pathlib.Path, classes: Iterable[str] = ()) -> None:
        self._paths: dict[str, list[str]] = {}
        self._classes = {_plain(name) for name in classes}
        for path in videos_below(root):
            self._paths.setdefault(_stem(path), []).append(path)

    def find(self, name: str, folders: Sequence[str] = ()) -> str | None:
        """Returns the path of a video below the root, None where it is missing.

        Args:
          name: of its file, with any ending of a video or none.
          folders: names of folders that it may lie in; among several files of the name, the one
            that lies in most of them is taken. Spaces count as underscores, and case does not.
        """
        wanted = {_plain(folder) for folder in folders}
        others = self._classes - wanted
        around = {
            path: set(_plain(path).split("/")[:-1]) for path in self._paths.get(_stem(name), [])
        }
        paths = [path for path in around if around[path] & wanted or not around[path] & others]
        return max(paths, key=lambda path: len(around[path] & wanted), default=None)


def _refuse(error: OSError) -> None:
    raise UserError(
        f"folder {error.filename} cannot be listed ({error.strerror}): make it readable, or move "
        "it out of the folder of the videos"
    ) from error


def _stem(path: str) -> str:
    name = path.rpartition("/")[2]
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in EXTENSIONS else name


def _plain(name: str) -> str:
    return name.replace(" ", "_").casefold()
