"""What every source of videos offers: a list of videos that open to frames with times."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

Box = tuple[int, int, int, int]
"""A crop in pixels: y and x of the top left corner, height, width."""


@dataclasses.dataclass(frozen=True)
class Caption:
    """A sentence about a video, or spoken in it.

    Attributes:
      text: the sentence.
      start: seconds of the video from which it holds, None for the beginning.
      end: seconds of the video up to which it holds, None for the end.
    """

    text: str
    start: float | None = None
    end: float | None = None


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What is known of a video without opening it.

    Attributes:
      id: unique within the source, the same in every run.
      path: the file, or "" where there is none.
      label: class index, -1 where the video has no label, or may have several.
      captions: what is said of it, or in it; what reads them from a file does so when they are
        first looked at, and may then raise BadVideo.
      labels: class indices of a video of a collection whose videos may have several; None in
        others.
      stride: distance between neighbouring frames of its clips, in the unit of the `InputSpec`;
        None = as that says.
    """

    id: str
    path: str
    label: int = -1
    captions: Sequence[Caption] = ()
    labels: tuple[int, ...] | None = None
    stride: float | None = None


class MissingVideo(NamedTuple):
    """A video that a list names but that does not exist; it is not part of the source.

    Attributes:
      path: the file that was looked for.
      where: the list and the line that name it.
    """

    path: str
    where: str


@runtime_checkable
class Video(Protocol):
    """One opened video. Close it after use.

    Attributes:
      times: float64 [L] seconds, strictly increasing, 0 at the first frame.
    """

    times: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its frames in pixels."""
        ...

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Returns the frames at `indices` (any order, repeats allowed) as uint8 [H, W, 3] RGB.

        Raises:
          BadVideo: a wanted frame cannot be decoded.
        """
        ...

    def crops(
        self, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Cuts a box out of a frame and resizes it to a square, for each of `places`.

        What a video can do cheaper than by whole frames (it need not show what lies outside).

        Args:
          places: N pairs of a frame's index and a box inside `self.size`, in any order.
          size: side of the result in pixels.
          out: uint8 [N, size, size, 3] to write it to; None for a new array.

        Returns:
          uint8 [N, size, size, 3] RGB, `out` if given: bilinear without antialiasing. Brightness
          is to within a few levels that of `data_pipelines.crops.crops_of_frames`, which cuts them
          out of whole frames, but at the edges of colours outside RGB's range; colours may have
          half the crop's resolution, as in the video itself.

        Raises:
          BadVideo: a wanted frame cannot be decoded.
        """
        ...

    def audio(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """Returns the sound from `start` on, mixed to one channel.

        Args:
          start: seconds on the clock of `times`.
          samples: how many, S.
          rate: samples per second.

        Returns:
          float32 [S] in [-1, 1]; zeros where the track has nothing, beyond its ends too. None
          where there is no track, or nothing of it falls into the stretch.

        Raises:
          BadVideo: reading it takes too long.
        """
        ...

    def close(self) -> None:
        """Releases the file. Calling it twice is harmless."""
        ...


class Source(Protocol):
    """A picklable, indexable collection of videos."""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label, () for an unlabelled collection."""
        ...

    @property
    def factors(self) -> Mapping[str, np.ndarray]:
        """Further ways to group the classes, each int [C]: class -> value of the factor."""
        ...

    @property
    def missing(self) -> tuple[MissingVideo, ...]:
        """Videos that the source's list names but that do not exist; () without a list."""
        ...

    def __len__(self) -> int: ...

    def info(self, index: int) -> VideoInfo:
        """Returns what is known of video `index` without opening it."""
        ...

    def open(self, index: int) -> Video:
        """Opens video `index`.

        Raises:
          BadVideo: the video cannot be read.
        """
        ...
