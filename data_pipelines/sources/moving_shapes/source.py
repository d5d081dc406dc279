"""The collection of moving shapes: 4 shapes x 4 motions, any number of videos, nothing on disk.

It answers in minutes whether a method learns what is meant to be learned. Two clips of one video
have in common the shape, the motion and its speed; colour, light, background and place change
slowly and recur in other videos. A single frame tells the shape but not the motion.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines.crops import crops_of_frames
from data_pipelines.errors import UserError
from data_pipelines.sources.moving_shapes.render import SHAPES, Look, draw_look, render
from data_pipelines.sources.moving_shapes.trajectory import MOTIONS, Trajectory, draw_trajectory
from data_pipelines.suggest import nearest
from data_pipelines.video import Box, MissingVideo, Video, VideoInfo

SPLITS = ("train", "test")
_CLASSES = tuple(f"{shape}-{motion}" for shape in SHAPES for motion in MOTIONS)


@dataclasses.dataclass
class RenderedVideo:
    """A video that is drawn when its frames are asked for.

    Attributes:
      times: float64 [L] seconds.
      shape: one of `SHAPES`.
      trajectory: how it moves.
      look: how everything looks.
      side: height and width of the frames in pixels.
    """

    times: np.ndarray
    shape: str
    trajectory: Trajectory
    look: Look
    side: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels."""
        return self.side, self.side

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Returns the frames at `indices` (any order, repeats allowed), uint8 [S, S, 3] RGB."""
        wanted, place = np.unique(np.asarray(indices, np.int64), return_inverse=True)
        times = self.times[wanted]
        drawn = render(self.shape, self.trajectory.at(times), self.look, times, self.side)
        return [drawn[p] for p in place]

    def crops(self, places: Sequence[tuple[int, Box]], size: int) -> np.ndarray:
        """See `Video.crops`."""
        return crops_of_frames(self, places, size)

    def close(self) -> None:
        """Does nothing: there is no file."""


@dataclasses.dataclass(frozen=True)
class MovingShapes:
    """A source of procedural videos with 16 balanced classes such as 'square-bouncing'.

    Video i is a function of (seed, split, i) and the fields after `split`; its label is i % 16.

    Attributes:
      videos: number of videos, at least 1.
      seed: seed of the collection, at least 0.
      split: 'train' or 'test'; the splits of one seed have different videos.
      frames: frames of each video, at least 1.
      size: side of the square frames in pixels, at least 16.
      fps: frames per second.
      appearance_drift: how fast all but shape, motion and speed changes in a video: the chance,
        every 0.5 s, that colour, light, background or place moves on to another. 0: never, a clip
        gives its video away by its looks. 1: always.

    Raises:
      UserError: a field is out of range.
    """

    videos: int
    seed: int
    split: str = "train"
    frames: int = 125
    size: int = 64
    fps: float = 25.0
    appearance_drift: float = 1.0

    def __post_init__(self) -> None:
        for field, least in (("videos", 1), ("seed", 0), ("frames", 1), ("size", 16)):
            if getattr(self, field) < least:
                value = getattr(self, field)
                raise UserError(f"moving shapes: {field} is {value}; it must be at least {least}")
        if self.split not in SPLITS:
            raise UserError(
                f"moving shapes: no split {self.split!r}; {nearest(self.split, SPLITS)}"
            )
        if not self.fps > 0:
            raise UserError(f"moving shapes: fps is {self.fps}; it must be above 0")
        if not 0 <= self.appearance_drift <= 1:
            raise UserError(
                f"moving shapes: appearance_drift is {self.appearance_drift}; it must be in [0, 1]"
            )

    @property
    def name(self) -> str:
        """What the collection is called in reports."""
        return "moving_shapes"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by label."""
        return _CLASSES

    @property
    def factors(self) -> Mapping[str, np.ndarray]:
        """Shape and motion of each class, int [16], as indices into `SHAPES` and `MOTIONS`."""
        shape, motion = np.divmod(np.arange(len(_CLASSES)), len(MOTIONS))
        return {"shape": shape, "motion": motion}

    @property
    def missing(self) -> tuple[MissingVideo, ...]:
        """Nothing: there is no list."""
        return ()

    def __len__(self) -> int:
        return self.videos

    def info(self, index: int) -> VideoInfo:
        """Returns id and label of video `index`; IndexError when there is no such video."""
        if not 0 <= index < self.videos:
            raise IndexError(f"video {index} of {self.videos} moving shapes")
        return VideoInfo(f"{self.split}/{index:06d}", "", index % len(_CLASSES))

    def open(self, index: int) -> Video:
        """Returns video `index`; IndexError when there is no such video."""
        shape, motion = divmod(self.info(index).label, len(MOTIONS))
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        times = np.arange(self.frames) / self.fps
        seconds = self.frames / self.fps
        return RenderedVideo(
            times,
            SHAPES[shape],
            draw_trajectory(rng, motion, seconds, self.appearance_drift),
            draw_look(rng, seconds, self.appearance_drift),
            self.size,
        )
