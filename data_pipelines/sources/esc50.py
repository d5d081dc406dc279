"""ESC-50: 2,000 sounds of five seconds in five folds, as videos in which nothing is to be seen."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines.decode import Limits, SoundReader
from data_pipelines.decode.limits import DEFAULT
from data_pipelines.decode.reader import refusing
from data_pipelines.errors import UserError
from data_pipelines.sources.files import existing_folder
from data_pipelines.sources.rows import read_csv
from data_pipelines.video import Box, MissingVideo, VideoInfo

_LIST = "meta/esc50.csv"
_MOST_CLASSES = 10_000  # a larger target is a slip
_SECONDS = 5.0  # of every sound
_FPS = 10
_SIDE = 16  # pixels of a black frame


class Sound:
    """A file of sound, as a video of black frames."""

    def __init__(self, path: str, limits: Limits) -> None:
        """Opens the file.

        Raises:
          BadVideo: it cannot be read.
        """
        self.times = np.arange(int(_SECONDS * _FPS)) / _FPS
        self._path = path
        with refusing(path):
            self._reader = SoundReader(path, None, limits)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        return _SIDE, _SIDE

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Returns black frames, uint8 [S, S, 3]."""
        return [np.zeros((_SIDE, _SIDE, 3), np.uint8) for _ in indices]

    def crops(
        self, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Video.crops`."""
        black = np.empty((len(places), size, size, 3), np.uint8) if out is None else out
        black[:] = 0
        return black

    def audio(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """See `Video.audio`."""
        with refusing(self._path):
            return self._reader.read(start, samples, rate)

    def close(self) -> None:
        """Releases the file. Calling it twice is harmless."""
        self._reader.close()


@dataclasses.dataclass(frozen=True)
class ESC50:
    """The sounds in the order of the list; a `Source`.

    Attributes:
      root: the folder that holds `meta/esc50.csv` and `audio`.
      files: names of the files.
      labels: their classes.
      folds: their folds, 1 to 5; sounds of one recording are in one fold.
      classes: names by label.
      missing: listed sounds that do not exist.
      limits: what a file may ask for before it is refused.
    """

    root: str
    files: tuple[str, ...]
    labels: tuple[int, ...]
    folds: tuple[int, ...]
    classes: tuple[str, ...]
    missing: tuple[MissingVideo, ...] = ()
    limits: Limits = DEFAULT

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return "esc50"

    @property
    def factors(self) -> Mapping[str, np.ndarray]:
        """None: the classes are not made of factors."""
        return {}

    def __len__(self) -> int:
        return len(self.files)

    def info(self, index: int) -> VideoInfo:
        """Returns what is known of sound `index` without opening it."""
        return VideoInfo(self.files[index], self._path(index), self.labels[index])

    def open(self, index: int) -> Sound:
        """Opens sound `index`.

        Raises:
          BadVideo: it cannot be read.
        """
        return Sound(self._path(index), self.limits)

    def _path(self, index: int) -> str:
        return str(pathlib.Path(self.root, "audio", self.files[index]))


def read_esc50(root: str | pathlib.Path, limits: Limits = DEFAULT) -> ESC50:
    """Reads `meta/esc50.csv` (columns filename, fold, target, category).

    Raises:
      UserError: the list is missing or malformed.
    """
    root = existing_folder(root, "the esc50 folder")
    table = read_csv(root / _LIST)
    for column in ("filename", "fold", "target", "category"):
        table.need(column)
    names: dict[int, str] = {}
    sounds, missing = [], []
    for row in table.rows:
        file, fold, target = row.text("filename"), row.text("fold"), row.text("target")
        if not (fold.isdecimal() and target.isdecimal()) or pathlib.PurePath(file).name != file:
            raise UserError(f"{row.where}: give a file name, and fold and target as whole numbers")
        if int(target) >= _MOST_CLASSES:
            raise UserError(f"{row.where}: target {target} must be below {_MOST_CLASSES:,}")
        if names.setdefault(int(target), row.text("category")) != row.text("category"):
            raise UserError(f"{row.where}: target {target} is also {names[int(target)]!r}")
        if (root / "audio" / file).is_file():
            sounds.append((file, int(target), int(fold)))
        else:
            missing.append(MissingVideo(f"{root}/audio/{file}", row.where))
    classes = tuple(names.get(label, str(label)) for label in range(max(names) + 1))
    files, labels, folds = zip(*sounds) if sounds else ((), (), ())
    return ESC50(str(root), files, labels, folds, classes, tuple(missing), limits)
