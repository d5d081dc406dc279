"""Where a shape is at each moment: the motions, apart from how anything looks.

The pose of a shape has four coordinates. Each is the sum of a slow wander and a wave, and each
motion is one coordinate whose wave runs while the other three waves stand still at a random phase.
At a single moment, therefore, all motions have one and the same distribution of poses: no single
frame says anything of the motion, and whoever names it must have looked at time.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from data_pipelines.sources.moving_shapes.drift import Drift, count_knots, draw_drift

MOTIONS = ("sliding", "bouncing", "pulsing", "rocking")
"""To and fro horizontally; hops; growing and shrinking; turning to and fro."""

PERIOD_SECONDS = (0.5, 1.2)
"""Range of the period. Sampling at 25 frames per second with stride 4 or less has more than three
frames to the shortest; 8 frames at stride 2 see about half of the longest."""

# All in the coordinates x, y, log size, angle.
_MIDDLE_LOW = np.array([0.5, 0.5, np.log(0.32), -0.4])  # range of a video's middle pose
_MIDDLE_HIGH = np.array([0.5, 0.5, np.log(0.32), 0.4])
_WANDER = np.array([0.1, 0.1, 0.15, 0.8])  # greatest distance of the wander from the middle
_WAVE = np.array([0.18, 0.18, 0.4, 0.7])  # amplitude of the waves


class Pose(NamedTuple):
    """Poses of a shape at N moments.

    Attributes:
      x: float [N], centroid from the left edge, as a fraction of the frame's width.
      y: float [N], centroid from the top edge, as a fraction of the frame's height.
      size: float [N], square root of the area of the shape, as a fraction of the frame's side.
      angle: float [N], radians.
    """

    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    angle: np.ndarray


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """The movement of one shape.

    Attributes:
      motion: index into `MOTIONS`, which is also the coordinate that moves.
      period: duration of one cycle in seconds.
      middle: float [4], what the pose's wander and waves are about.
      phase: float [4], phase of each coordinate's wave at time 0, in cycles.
      wander: slow change of the four coordinates, each value float [4] in [-1, 1].
    """

    motion: int
    period: float
    middle: np.ndarray
    phase: np.ndarray
    wander: Drift

    def at(self, times_N: np.ndarray) -> Pose:
        """Returns the poses at given times, float [N] seconds from 0 to the end of the video."""
        phase_Nx4 = np.tile(self.phase, (len(times_N), 1))
        phase_Nx4[:, self.motion] += times_N / self.period
        wave_Nx4 = np.cos(2 * np.pi * phase_Nx4)
        # Hops: a parabola from floor to floor, as in free fall. y points down.
        cycle = phase_Nx4[:, 1] % 1.0
        wave_Nx4[:, 1] = 1 - 8 * cycle * (1 - cycle)
        x, y, log_size, angle = (
            self.middle + _WANDER * self.wander.at(times_N) + _WAVE * wave_Nx4
        ).T
        return Pose(x, y, np.exp(log_size), angle)


def draw_trajectory(
    rng: np.random.Generator, motion: int, seconds: float, drift: float
) -> Trajectory:
    """Draws how one shape moves.

    Args:
      rng: the random generator to draw from.
      motion: index into `MOTIONS`.
      seconds: duration of the video.
      drift: probability in [0, 1] that the pose's wander moves on at a knot.

    Returns:
      The trajectory; its period is log-uniform over `PERIOD_SECONDS`.
    """
    period = float(np.exp(rng.uniform(*np.log(PERIOD_SECONDS))))
    middle = rng.uniform(_MIDDLE_LOW, _MIDDLE_HIGH)
    wander = draw_drift(rng, rng.uniform(-1, 1, (count_knots(seconds), 4)), drift)
    return Trajectory(motion, period, middle, rng.random(4), wander)
