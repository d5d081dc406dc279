"""Counts in bins of round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_BINS = 12


def histogram(values: Sequence[float], unit: str) -> list[tuple[str, int]]:
    """Counts values >= 0 in at most 13 bins of equal, round width.

    Args:
      values: what to count. The highest 2 % may share the last bin, so that a few outliers do not
        squeeze all others into the first.
      unit: what to write behind the numbers.

    Returns:
      (label, count) from the lowest bin that holds something to the highest; [] of nothing.
    """
    if not len(values):
        return []
    low, high, end = (float(v) for v in np.quantile(values, (0, 0.98, 1)))
    step = _round_up(max(high - low, 0.01 * high, 1e-3) / _BINS)
    first, last = math.floor(low / step), math.floor(high / step)
    places = np.minimum(np.floor(np.asarray(values) / step + 1e-9).astype(int), last + 1)
    rows = []
    for place in range(first, last + 2):
        count = int((places == place).sum())
        until = f"{(place + 1) * step:.6g}" if place <= last else f"{end:.3g}"
        if place <= last or count:
            rows.append((f"{place * step:.6g}–{until} {unit}", count))
    return rows


def _round_up(step: float) -> float:
    """The next number of the form 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))
