"""Slow change: a quantity that passes smoothly from one value to the next during a video."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

KNOT_SECONDS = 0.5
"""Time from one value to the next. Moments 0.25 s apart share most of their values, moments 1 s
apart none that has changed. Slower drift lets a network tell videos apart by their colours, and
it then learns nothing else."""


@dataclasses.dataclass(frozen=True)
class Drift:
    """A quantity given at evenly spaced knots in time.

    Attributes:
      values: float [K, ...], the quantity at the knots.
      offset: time of the start of the video after the first knot, as a fraction of the spacing.
    """

    values: np.ndarray
    offset: float

    def at(self, times_N: np.ndarray) -> np.ndarray:
        """Returns the quantity at given times.

        Args:
          times_N: float [N] seconds, from 0 to the end of the video.

        Returns:
          float [N, ...]: cubic between the knots, level at each.
        """
        place = times_N / KNOT_SECONDS + self.offset
        knot = place.astype(int)
        weight = place - knot
        weight = weight * weight * (3 - 2 * weight)
        weight = weight.reshape(-1, *[1] * (self.values.ndim - 1))
        return (1 - weight) * self.values[knot] + weight * self.values[knot + 1]


def count_knots(seconds: float) -> int:
    """Returns how many knots a video of this duration needs, for any offset."""
    return math.floor(seconds / KNOT_SECONDS) + 3


def draw_drift(rng: np.random.Generator, fresh: np.ndarray, change: float) -> Drift:
    """Draws a slow change through given values.

    Args:
      rng: the random generator to draw from.
      fresh: float [K, ...], independent values; K from `count_knots`.
      change: probability that a knot takes on its fresh value; else it keeps the one before.

    Returns:
      The drift; constant where `change` is 0.
    """
    knots = np.arange(len(fresh))
    changed = rng.random(len(fresh)) < change
    source = np.maximum.accumulate(np.where(changed, knots, 0))
    return Drift(fresh[source], rng.random())
