"""A trained tower with all it needs to look at videos: what `cvrl_jax.load` returns."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.description import Description
from data_pipelines.crops import evaluation_crops
from data_pipelines.decode import open_video
from data_pipelines.decode.limits import DEFAULT
from data_pipelines.errors import BadVideo, UserError
from data_pipelines.examples import clip_plan
from data_pipelines.pipeline import evaluation_batches
from data_pipelines.sources.files import FileSource, VideoFile
from data_pipelines.spec import InputSpec

Variables = dict[str, Any]

LIMITS = dataclasses.replace(DEFAULT, follow_links=True)  # the caller names each file


@dataclasses.dataclass(frozen=True)
class Windows:
    """What an encoder says of a video, piece by piece.

    Attributes:
      start_N: float64, seconds at which the first frame of each window is shown.
      end_N: likewise of the last.
      vectors_NxD: float32, one feature per window.
    """

    start_N: np.ndarray
    end_N: np.ndarray
    vectors_NxD: np.ndarray


def features(
    tower: Any, variables: Variables, clips_BxTxHxWx3: jax.Array | np.ndarray, framewise: bool
) -> jax.Array:
    """Vectors [B, D] of clips, uint8 or floats in [0, 1], see `Description` for `framewise`."""
    clips = jnp.asarray(clips_BxTxHxWx3)
    if jnp.issubdtype(clips.dtype, jnp.integer):
        clips = clips.astype(jnp.float32) / 255.0
    if not framewise:
        return tower.apply(variables, clips, train=False)
    images = clips.reshape(-1, 1, *clips.shape[2:])
    vectors = tower.apply(variables, images, train=False)
    return vectors.reshape(clips.shape[0], clips.shape[1], -1).mean(axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """A tower with its weights, and how it wants its clips.

    Attributes:
      tower: the Linen module, called as `tower.apply(variables, clips in [0, 1], train)`.
      variables: its collections, on the default device.
      description: what it is, what it eats and where it comes from.
    """

    tower: Any
    variables: Variables
    description: Description

    @property
    def params(self) -> Any:
        """What one trains: the first argument of `apply`."""
        return self.variables["params"]

    @property
    def feature_size(self) -> int:
        """D, the length of a vector."""
        return self.tower.feature_size

    def apply(self, params: Any, clips_BxTxHxWx3: jax.Array | np.ndarray) -> jax.Array:
        """The tower as a pure, differentiable function of its parameters.

        Running statistics of BatchNorm stay as they were trained; to move them, call
        `tower.apply(variables, clips, train=True, mutable=["batch_stats"])`.

        Args:
          params: as `self.params`.
          clips_BxTxHxWx3: uint8, or floats in [0, 1]; RGB.

        Returns:
          float32 [B, D].
        """
        variables = self.variables | {"params": params}
        return features(self.tower, variables, clips_BxTxHxWx3, self.description.framewise)

    def embed(
        self,
        videos: Sequence[str | os.PathLike[str]] | np.ndarray,
        *,
        clips: int = 1,
        batch_size: int = 8,
    ) -> np.ndarray:
        """Vectors of videos: files, or clips that are already cut.

        Args:
          videos: N paths; or uint8 [N, T, H, W, 3] of the frames and size of `description`.
          clips: of a file, how many evenly spaced clips are averaged; 1 takes the middle one.
          batch_size: videos per call of the network.

        Returns:
          float32 [N, D], not normalised.

        Raises:
          BadVideo: a file cannot be read.
          UserError: the array is something else than clips for this encoder, or a number below 1.
        """
        _check_positive(clips=clips, batch_size=batch_size)
        if isinstance(videos, np.ndarray | jax.Array):
            clips_NxTxHxWx3 = self._checked(np.asarray(videos))
            parts = [
                self._vectors(clips_NxTxHxWx3[begin : begin + batch_size], batch_size)
                for begin in range(0, len(clips_NxTxHxWx3), batch_size)
            ]
        elif isinstance(videos, str | os.PathLike):
            raise UserError(f"embed takes a list of files: embed([{os.fspath(videos)!r}])")
        else:
            videos = list(videos)
            if any(isinstance(video, np.ndarray | jax.Array) for video in videos):
                raise UserError("embed takes one array of clips, not several: numpy.stack them")
            paths = [os.path.expanduser(os.fspath(path)) for path in videos]
            parts = self._of_files(paths, clips, batch_size)
        return np.concatenate([np.zeros((0, self.feature_size), np.float32), *parts])

    def embed_windows(
        self,
        path: str | os.PathLike[str],
        *,
        every: float | None = None,
        batch_size: int = 8,
    ) -> Windows:
        """Vectors along one video, of any length; only `batch_size` windows are in memory.

        Windows are evenly spaced from the beginning to the end; a video shorter than one window
        gives one, in which it wraps round.

        Args:
          path: the file.
          every: greatest distance from one window's beginning to the next one's, in seconds; None:
            as long as a window is.
          batch_size: windows per call of the network.

        Raises:
          BadVideo: the file cannot be read.
          UserError: `every` is not above 0, or `batch_size` below 1.
        """
        _check_positive(batch_size=batch_size)
        if every is not None and not every > 0:
            raise UserError(f"every = {every} must be above 0 seconds")
        path = os.path.expanduser(os.fspath(path))
        with contextlib.closing(open_video(path, limits=LIMITS)) as video:
            plan_NxT = self._window_plan(video.times, every)
            parts = []
            for begin in range(0, len(plan_NxT), batch_size):
                windows = [
                    evaluation_crops(video.frames(row_T.tolist()), self.description.size, 1)[0]
                    for row_T in plan_NxT[begin : begin + batch_size]
                ]
                parts.append(self._vectors(np.stack(windows), batch_size))
            starts, ends = video.times[plan_NxT[:, 0]], video.times[plan_NxT.max(axis=1)]
        return Windows(starts, ends, np.concatenate(parts))

    def _window_plan(self, times: np.ndarray, every: float | None) -> np.ndarray:
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        of_unit = step if self.description.stride_unit == "frames" else 1.0  # seconds
        length = self.description.frames * self.description.stride * of_unit
        left = float(times[-1]) + step - length
        # Less a hair: windows that follow one another exactly are not to become one more.
        clips = 1 + max(0, math.ceil(left / (every or length) - 1e-6))
        return clip_plan(times, self._spec(clips), np.random.default_rng(0))

    def _of_files(self, paths: list[str], clips: int, batch_size: int) -> list[np.ndarray]:
        spec = self._spec(clips)
        files = tuple(VideoFile(path) for path in paths)
        source = FileSource("files", files, classes=(), root="", limits=LIMITS)
        parts = []
        for batch in evaluation_batches(
            source, spec, batch_size=max(1, min(batch_size, len(paths)))
        ):
            real = batch["index"] >= 0
            for row in np.flatnonzero(real & ~batch["valid"]):
                raise BadVideo(paths[batch["index"][row]], str(batch["error"][row]))
            views = batch["video"].reshape(-1, *spec.clip_shape[1:])
            vectors = self._vectors(views, len(views))
            parts.append(vectors.reshape(len(real), clips, -1).mean(axis=1)[real])
        return parts

    def _spec(self, clips: int) -> InputSpec:
        d = self.description
        return InputSpec(
            clips=clips,
            frames=d.frames,
            stride=d.stride,
            stride_unit=d.stride_unit,
            size=d.size,
            sampling="even",
            crop="center",
        )

    def _checked(self, clips: np.ndarray) -> np.ndarray:
        d = self.description
        wanted = (d.frames, d.size, d.size, 3)
        if clips.dtype != np.uint8 or clips.ndim != 5 or clips.shape[1:] != wanted:
            raise UserError(
                f"clips are {clips.dtype} {list(clips.shape)}, but {d.title} takes uint8 "
                f"{['N', *wanted]}; cut and resize them, or call encoder.apply for other shapes"
            )
        return clips

    @functools.cached_property
    def _jitted(self) -> Callable[[Variables, np.ndarray], jax.Array]:
        return jax.jit(self.apply)

    def _vectors(self, clips: np.ndarray, rows: int) -> np.ndarray:
        """Of at most `rows` clips, padded to so many so that the network is compiled once."""
        count = len(clips)
        if 0 < count < rows:
            clips = np.concatenate([clips, np.zeros((rows - count, *clips.shape[1:]), np.uint8)])
        return np.asarray(self._jitted(self.params, clips), np.float32)[:count]


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise UserError(f"{name} = {number} must be at least 1")
