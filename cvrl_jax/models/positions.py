"""Learned positions, one table per axis, fitted to grids of other sizes."""

from __future__ import annotations

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cvrl_jax.models.transformer import EPSILON

RESIZES = ("cubic", "spline")


class Positions(nn.Module):
    """The position of a token is the sum of one learned row per axis (VATT, eq. 1).

    Tables are drawn from a truncated normal of standard deviation D^-0.5.

    Attributes:
      grid: rows of the tables, axis by axis: (8, 14, 14) for clips, (1200,) for waveforms.
      width: D.
      resize: how tables fit a grid of another size, see `resize_matrix`.
      norm: normalise the sum by a LayerNorm, as the released VATT code does.
    """

    grid: tuple[int, ...]
    width: int
    resize: str = "cubic"
    norm: bool = False

    @nn.compact
    def __call__(self, grid: tuple[int, ...]) -> jax.Array:
        """Positions float32 [S, D] of the S tokens of `grid`, last axis fastest."""
        init = nn.initializers.truncated_normal(self.width**-0.5)
        total: Any = 0.0
        for axis, (rows, wanted) in enumerate(zip(self.grid, grid, strict=True)):
            table = self.param(f"axis{axis}", init, (rows, self.width), jnp.float32)
            if wanted != rows:
                table = jnp.asarray(resize_matrix(rows, wanted, self.resize)) @ table
            along = [1] * len(grid)
            along[axis] = wanted
            total = total + table.reshape(*along, self.width)
        total = total.reshape(math.prod(grid), self.width)
        return nn.LayerNorm(epsilon=EPSILON, name="norm")(total) if self.norm else total


@functools.cache
def resize_matrix(rows: int, wanted: int, how: str) -> np.ndarray:
    """Weights float32 [wanted, rows] that fit a table of `rows` rows to `wanted` tokens.

    Args:
      rows: of the table.
      wanted: tokens along the axis.
      how: 'cubic', the bicubic resize of images: centres aligned (the paper), smoothing when
        shrinking; or 'spline', the natural cubic spline through the rows, starts aligned (the
        released VATT code: token i stands at i / wanted, row j at j / rows), where an image takes
        the first row of time.
    """
    if how == "cubic":
        with jax.ensure_compile_time_eval():
            return np.asarray(
                jax.image.resize(np.eye(rows, dtype=np.float32), (wanted, rows), "cubic")
            )
    # The natural spline is a sum of |x - knot|^3 and a line, orthogonal to lines.
    knots, queries = np.arange(rows) / rows, np.arange(wanted) / wanted
    line = np.stack([np.ones(rows), knots], axis=1)[:, : min(rows, 2)]
    size = line.shape[1]
    system = np.block(
        [[np.abs(knots[:, None] - knots) ** 3, line], [line.T, np.zeros((size, size))]]
    )
    basis = np.abs(queries[:, None] - knots) ** 3
    basis = np.hstack([basis, np.stack([np.ones(wanted), queries], axis=1)[:, :size]])
    return (basis @ np.linalg.inv(system)[:, :rows]).astype(np.float32)
