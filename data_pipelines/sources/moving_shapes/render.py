"""What a moving shape looks like: outlines, colours, light, background, and the pixels.

Colours and textures come from small palettes common to all videos, and change while a video runs.
Looks therefore tell little of which video a clip is from: other videos share them, and another clip
of the same video has moved on to others.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from data_pipelines.sources.moving_shapes.drift import Drift, count_knots, draw_drift
from data_pipelines.sources.moving_shapes.trajectory import Pose

SHAPES = ("square", "bar", "cross", "arc")
"""All show how they are turned, so that every motion can be seen on every shape."""

COLOURS = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "white")
"""Of shapes."""

# In the order of COLOURS. Bright foregrounds on dark backgrounds: a shape stays visible in
# greyscale.
_FOREGROUNDS = np.array(
    [
        [255, 120, 110],
        [255, 180, 70],
        [235, 230, 90],
        [130, 230, 110],
        [90, 225, 225],
        [130, 175, 255],
        [215, 150, 255],
        [240, 240, 240],
    ],
    np.float32,
)
_BACKGROUNDS = np.array(
    [
        [95, 25, 25],
        [90, 60, 15],
        [45, 75, 20],
        [10, 75, 60],
        [15, 60, 100],
        [40, 35, 115],
        [90, 20, 90],
        [60, 60, 60],
    ],
    np.float32,
)
_GRID = 5  # a texture is this many cells wide and high: blobs far larger than a shape's corners
_TEXTURES = np.random.default_rng(0).random((8, _GRID, _GRID, 1), np.float32)
_LIGHT = (0.7, 1.0)
_SUBPIXEL_BITS = 6


def _outline(corners: np.ndarray) -> np.ndarray:
    """Moves a polygon's centroid to the origin and scales its area to 1; float [P, 2]."""
    x, y = corners.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = cross.sum() / 2
    centroid = ((corners + np.roll(corners, -1, 0)) * cross[:, None]).sum(0) / (6 * area)
    return (corners - centroid) / np.sqrt(abs(area))


def _on_circle(turns: np.ndarray, radius: float = 1.0) -> np.ndarray:
    return radius * np.stack([np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)], -1)


def _cross() -> np.ndarray:
    arm = np.array([[3, -1], [3, 1], [1, 1]], float)  # one of four, a quarter turn apart
    quarter = np.array([[0, 1], [-1, 0]], float)
    return np.concatenate([arm @ np.linalg.matrix_power(quarter, k) for k in range(4)])


def _arc() -> np.ndarray:
    turns = np.linspace(0, 0.6, 20)
    return np.concatenate([_on_circle(turns), _on_circle(turns[::-1], 0.5)])


_OUTLINES = {
    "square": _outline(_on_circle(np.arange(4) / 4)),
    "bar": _outline(np.array([[-2.5, -0.5], [2.5, -0.5], [2.5, 0.5], [-2.5, 0.5]])),
    "cross": _outline(_cross()),
    "arc": _outline(_arc()),
}


@dataclasses.dataclass(frozen=True)
class Look:
    """How one video looks as it goes on.

    Attributes:
      foreground: colour of the shape, RGB in [0, 255], each value float [3].
      background: the two colours of the background, each value float [2, 3].
      texture: share of the second colour, each value float [G, G, 1] in [0, 1].
      light: brightness of the whole scene, each value float [1].
    """

    foreground: Drift
    background: Drift
    texture: Drift
    light: Drift


def draw_look(
    rng: np.random.Generator, seconds: float, drift: float, colour: int | None = None
) -> Look:
    """Draws how one video looks.

    Args:
      rng: the random generator to draw from.
      seconds: duration of the video.
      drift: probability in [0, 1] that each part of the look moves on to another at a knot.
      colour: index into `COLOURS` if the shape keeps one colour, None if it is drawn too.

    Returns:
      The look.
    """
    knots = count_knots(seconds)
    foreground = _FOREGROUNDS[rng.integers(len(_FOREGROUNDS), size=knots)]
    if colour is not None:
        foreground[:] = _FOREGROUNDS[colour]
    background = _BACKGROUNDS[rng.integers(len(_BACKGROUNDS), size=(knots, 2))]
    texture = _TEXTURES[rng.integers(len(_TEXTURES), size=knots)]
    light = rng.uniform(*_LIGHT, (knots, 1))
    return Look(
        *(draw_drift(rng, part, drift) for part in (foreground, background, texture, light))
    )


def draw_shape(
    image: np.ndarray, shape: str, pose: Pose, n: int, colour: tuple[float, float, float]
) -> None:
    """Draws a shape into a picture, with smooth edges that reach a pixel beyond its outline.

    Args:
      image: uint8 [S, S, 3], changed in place.
      shape: one of `SHAPES`.
      pose: poses of the shape, of which one is drawn.
      n: which.
      colour: the fill, RGB in [0, 255].
    """
    size = image.shape[0]
    cos, sin = np.cos(pose.angle[n]), np.sin(pose.angle[n])
    turned = _OUTLINES[shape] @ np.array([[cos, sin], [-sin, cos]])
    corners = (turned * pose.size[n] + (pose.x[n], pose.y[n])) * size - 0.5
    fixed_point = np.rint(corners * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(image, [fixed_point], colour, cv2.LINE_AA, _SUBPIXEL_BITS)


def render(shape: str, pose: Pose, look: Look, times_N: np.ndarray, size: int) -> list[np.ndarray]:
    """Renders frames of one video.

    Args:
      shape: one of `SHAPES`.
      pose: its poses at the N times.
      look: how the video looks.
      times_N: float [N] seconds.
      size: side S of the frames in pixels.

    Returns:
      N frames, uint8 [S, S, 3] RGB.
    """
    light_Nx1 = look.light.at(times_N)
    foreground_Nx3 = look.foreground.at(times_N) * light_Nx1
    first, second = np.moveaxis(look.background.at(times_N) * light_Nx1[..., None], 1, 0)
    texture_NxGxGx1 = look.texture.at(times_N)
    cells_NxGxGx3 = first[:, None, None] + texture_NxGxGx1 * (second - first)[:, None, None]
    frames = []
    for n, cells in enumerate(cells_NxGxGx3.astype(np.uint8)):
        frame = cv2.resize(cells, (size, size), interpolation=cv2.INTER_LINEAR)
        draw_shape(frame, shape, pose, n, tuple(foreground_Nx3[n].tolist()))
        frames.append(frame)
    return frames
