"""Positions of tokens: learned tables or a fixed one, fitted to grids of other sizes."""

from __future__ import annotations

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

RESIZES = ("cubic", "spline")
FORMS = ("axes", "joint", "sinusoid")


class Positions(nn.Module):
    """What is added to the tokens of a grid so that each knows its place.

    Learned tables are drawn from a truncated normal of standard deviation D^-0.5.

    Attributes:
      grid: rows of the tables, axis by axis: (8, 14, 14) for clips, (1200,) for waveforms.
      width: D.
      resize: how tables fit a grid of another size, see `resize_matrix`.
      norm: normalise by a LayerNorm, as the released VATT code does.
      form: 'axes' = the sum of one learned row per axis (VATT, eq. 1); 'joint' = one learned row
        for each place of the grid (ViT, arXiv 2010.11929); 'sinusoid' = fixed, see `sinusoids`.
      epsilon: of the LayerNorm.
    """

    grid: tuple[int, ...]
    width: int
    resize: str = "cubic"
    norm: bool = False
    form: str = "axes"
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, grid: tuple[int, ...]) -> jax.Array:
        """Positions float32 [S, D] of the S tokens of `grid`, last axis fastest."""
        init = nn.initializers.truncated_normal(self.width**-0.5)
        if self.form == "axes":
            total: Any = 0.0
            for axis, (rows, wanted) in enumerate(zip(self.grid, grid, strict=True)):
                table = self.param(f"axis{axis}", init, (rows, self.width), jnp.float32)
                along = [1] * len(grid)
                along[axis] = wanted
                table = resized(table, (rows,), (wanted,), self.resize)
                total = total + table.reshape(*along, self.width)
            total = total.reshape(math.prod(grid), self.width)
        else:
            rows = math.prod(self.grid)
            if self.form == "joint":
                table = self.param("joint", init, (rows, self.width), jnp.float32)
            else:
                table = jnp.asarray(sinusoids(rows, self.width))
            total = resized(table, self.grid, grid, self.resize)
        return nn.LayerNorm(epsilon=self.epsilon, name="norm")(total) if self.norm else total


def resized(table_RxD: Any, rows: tuple[int, ...], wanted: tuple[int, ...], how: str) -> Any:
    """A table [R, D] of a grid of `rows`, fitted to a grid of `wanted` axis by axis: [S, D]."""
    table = table_RxD.reshape(*rows, -1)
    for axis, (old, new) in enumerate(zip(rows, wanted, strict=True)):
        if old != new:
            moved = jnp.tensordot(resize_matrix(old, new, how), table, (1, axis))
            table = jnp.moveaxis(moved, 0, axis)
    return table.reshape(math.prod(wanted), -1)


def sinusoids(rows: int, width: int) -> np.ndarray:
    """Fixed positions float32 [rows, width]: sines at even places, cosines at odd ones.

    Row p holds sin and cos of p / 10000^(2i / width), i the pair (Vaswani et al., arXiv 1706.03762,
    section 3.5). VideoMAE (arXiv 2203.12602) counts p through the whole clip, frame by frame.
    """
    frequencies = 10000.0 ** (-2 * (np.arange(width) // 2) / width)
    angles = np.arange(rows)[:, None] * frequencies
    angles[:, 0::2], angles[:, 1::2] = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
    return angles.astype(np.float32)


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
