"""The collection of moving shapes: 4 shapes x 4 motions, any number of videos, nothing on disk.

It answers in minutes whether a method learns what is meant to be learned. Two clips of one video
have in common the shape, the motion and its speed; colour, light, background and place change
slowly and recur in other videos. A single frame tells the shape but not the motion.

The shapes speak: each video has a sound that follows the motion, and sentences about it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines.crops import crops_of_frames
from data_pipelines.errors import UserError
from data_pipelines.sources.moving_shapes.render import COLOURS, SHAPES, Look, draw_look, render
from data_pipelines.sources.moving_shapes.sentences import narrate
from data_pipelines.sources.moving_shapes.trajectory import MOTIONS, Trajectory, draw_trajectory
from data_pipelines.sources.moving_shapes.voice import Voice
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
      voice: how it sounds.
    """

    times: np.ndarray
    shape: str
    trajectory: Trajectory
    look: Look
    side: int
    voice: Voice

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

    def crops(
        self, places: Sequence[tuple[int, Box]], size: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """See `Video.crops`."""
        return crops_of_frames(self, places, size, out)

    def audio(self, start: float, samples: int, rate: int) -> np.ndarray | None:
        """See `Video.audio`; `voice` says what is heard."""
        return self.voice.wave(start, samples, rate)

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
      constant_colour: every shape keeps one colour, which is then heard and named. Of any 128
        neighbouring videos, no two agree in shape, motion and colour.
      sound_noise: standard deviation of the white noise in the sound, whose range is [-1, 1].
      caption_noise: share of the sentences, in [0, 1], that are about another, random video.
      misalignment: most seconds by which the sound of a video comes too late or too early, and
        likewise, drawn apart, its sentences.

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
    constant_colour: bool = False
    sound_noise: float = 0.0
    caption_noise: float = 0.0
    misalignment: float = 0.0

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
        for field in ("appearance_drift", "caption_noise"):
            if not 0 <= getattr(self, field) <= 1:
                value = getattr(self, field)
                raise UserError(f"moving shapes: {field} is {value}; it must be in [0, 1]")
        for field in ("sound_noise", "misalignment"):
            if not 0 <= getattr(self, field) < math.inf:
                value = getattr(self, field)
                raise UserError(f"moving shapes: {field} is {value}; it must be at least 0")

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
        """What is known of video `index`; IndexError when there is no such video."""
        if not 0 <= index < self.videos:
            raise IndexError(f"video {index} of {self.videos} moving shapes")
        label = index % len(_CLASSES)
        shape, motion = _CLASSES[label].split("-")
        colour = self._colour(index)
        rng, _, delay = self._speech(index)
        captions = narrate(
            rng,
            shape,
            motion,
            "" if colour is None else COLOURS[colour],
            seconds=self.frames / self.fps,
            noise=self.caption_noise,
            delay=delay,
        )
        return VideoInfo(f"{self.split}/{index:06d}", "", label, captions)

    def open(self, index: int) -> Video:
        """Returns video `index`; IndexError when there is no such video."""
        if not 0 <= index < self.videos:
            raise IndexError(f"video {index} of {self.videos} moving shapes")
        shape, motion = divmod(index % len(_CLASSES), len(MOTIONS))
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index])
        times = np.arange(self.frames) / self.fps
        seconds = self.frames / self.fps
        trajectory = draw_trajectory(rng, motion, seconds, self.appearance_drift)
        colour = self._colour(index)
        look = draw_look(rng, seconds, self.appearance_drift, colour)
        _, delay, _ = self._speech(index)
        voice = Voice(SHAPES[shape], trajectory, seconds, colour or 0, delay, self.sound_noise)
        return RenderedVideo(times, SHAPES[shape], trajectory, look, self.size, voice)

    def _colour(self, index: int) -> int | None:
        """Number of the colour if it lasts; another one whenever shape and motion come again."""
        if not self.constant_colour:
            return None
        again, label = divmod(index, len(_CLASSES))
        return (again + 3 * label + self.seed) % len(COLOURS)

    def _speech(self, index: int) -> tuple[np.random.Generator, float, float]:
        """What decides the sentences; by how many seconds sound and sentences come too late.

        Videos look the same whatever is said of them.
        """
        rng = np.random.default_rng([self.seed, SPLITS.index(self.split), index, 1])
        sound, sentences = self.misalignment * rng.uniform(-1.0, 1.0, 2)
        return rng, float(sound), float(sentences)
