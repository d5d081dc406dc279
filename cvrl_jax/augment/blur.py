"""Gaussian blur of every frame, over height and width and never across frames."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp


def kernel_radius(height: int) -> int:
    """Taps on each side of the centre: the published code's (height // 10) // 2.

    Height 224 gives 11 (23 taps), 112 gives 5, 64 gives 3, 32 gives 1; below 20 it is 0, that is,
    no blur.
    """
    return (height // 10) // 2


def gaussian_blur(
    key: jax.Array,
    clip_TxHxWx3: jax.Array,
    sigma_min: float = 0.1,
    sigma_max: float = 2.0,
) -> jax.Array:
    """A separable Gaussian of standard deviation U[sigma_min, sigma_max] pixels, one per clip.

    Args:
      key: a typed PRNG key.
      clip_TxHxWx3: float in [0, 1]. What lies outside a frame counts as black, so that edges
        darken, as in the published code. Factors are of its type, their sums float32.
      sigma_min: > 0, in pixels.
      sigma_max: >= sigma_min, in pixels.

    Returns:
      float32 [T, H, W, 3] in [0, 1].
    """
    sigma = jax.random.uniform(key, minval=sigma_min, maxval=sigma_max)
    _, height, width, _ = clip_TxHxWx3.shape
    radius = kernel_radius(height)
    rows_HxH = _banded(height, radius, sigma)
    columns_WxW = _banded(width, radius, sigma)
    # As products with banded matrices: what accelerators do best, and on a CPU as fast as adding
    # shifted copies and ten times faster than a depthwise convolution.
    blur = functools.partial(jnp.einsum, precision="high", preferred_element_type=jnp.float32)
    dtype = clip_TxHxWx3.dtype
    blurred = blur("hi,tiwc->thwc", rows_HxH.astype(dtype), clip_TxHxWx3).astype(dtype)
    blurred = blur("wj,thjc->thwc", columns_WxW.astype(dtype), blurred)
    return jnp.clip(blurred, 0.0, 1.0)  # rounding alone can leave the range


def _banded(size: int, radius: int, sigma: jax.Array) -> jax.Array:
    """The convolution with zero padding as a matrix: row i holds the taps centred on i."""
    offset = jnp.arange(size)[:, None] - jnp.arange(size)[None, :]
    taps = jnp.exp(-0.5 * jnp.square(jnp.arange(-radius, radius + 1) / sigma))
    weight = jnp.exp(-0.5 * jnp.square(offset / sigma)) / jnp.sum(taps)
    return jnp.where(jnp.abs(offset) <= radius, weight, 0.0)
