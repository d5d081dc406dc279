"""Colour: brightness, contrast, saturation, hue, their jitters, greyscale, solarise.

Every op draws once per clip, so that all frames change alike, and returns values in [0, 1]. Jitters
and greyscale compute in float32 whatever the type of the clip.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

# Red, green and blue apart, each float32 [T, H, W]: arithmetic between channels that lie next to
# each other in memory takes about twice as long on a CPU.
_Planes = tuple[jax.Array, jax.Array, jax.Array]

_LUMA = (0.2989, 0.5870, 0.1140)  # ITU-R BT.601, as rounded by the published code


def brightness(key: jax.Array, clip_TxHxWx3: jax.Array, strength: float = 0.8) -> jax.Array:
    """The clip times one factor from U[max(0, 1 - strength), 1 + strength].

    Args:
      key: a typed PRNG key.
      clip_TxHxWx3: float in [0, 1].
      strength: >= 0; 0 changes nothing.

    Returns:
      float32 [T, H, W, 3] in [0, 1].
    """
    return _join(_affine(_split(clip_TxHxWx3), _factor(key, strength), jnp.array(False)))


def contrast(key: jax.Array, clip_TxHxWx3: jax.Array, strength: float = 0.8) -> jax.Array:
    """Distances from each channel's mean over the whole clip, times one factor as in `brightness`.

    The mean is taken over all frames: a mean of each frame would make the clip flicker.
    """
    return _join(_affine(_split(clip_TxHxWx3), _factor(key, strength), jnp.array(True)))


def saturation(key: jax.Array, clip_TxHxWx3: jax.Array, strength: float = 0.8) -> jax.Array:
    """HSV saturation times one factor as in `brightness`, at most 1."""
    return _join(_hue_saturation(_split(clip_TxHxWx3), jnp.float32(0.0), _factor(key, strength)))


def hue(key: jax.Array, clip_TxHxWx3: jax.Array, strength: float = 0.2) -> jax.Array:
    """HSV hue turned by one angle from U[-strength, strength], in turns: `strength` in [0, 0.5]."""
    return _join(_hue_saturation(_split(clip_TxHxWx3), _turn(key, strength), jnp.float32(1.0)))


def color_jitter(
    key: jax.Array,
    clip_TxHxWx3: jax.Array,
    brightness: float = 0.8,
    contrast: float = 0.8,
    saturation: float = 0.8,
    hue: float = 0.2,
) -> jax.Array:
    """The four ops above in a random order, values clipped to [0, 1] after each.

    (SimCLR, arXiv 2002.05709, appendix A; the numbers are CVRL's at strength 1.)

    Args:
      key: a typed PRNG key.
      clip_TxHxWx3: float in [0, 1].
      brightness: strength of `brightness`, >= 0.
      contrast: strength of `contrast`, >= 0.
      saturation: strength of `saturation`, >= 0.
      hue: strength of `hue`, in turns, in [0, 0.5].

    Returns:
      float32 [T, H, W, 3] in [0, 1].
    """
    order_key, *keys = jax.random.split(key, 5)
    factors_4 = jnp.stack(
        [
            _factor(keys[0], brightness),
            _factor(keys[1], contrast),
            _factor(keys[2], saturation),
            _turn(keys[3], hue),
        ]
    )
    order_4 = jax.random.permutation(order_key, 4)
    planes = _split(clip_TxHxWx3)
    # Under vmap a `switch` would run all four branches at each place in the order. Instead each
    # place runs one affine and one HSV map, whose numbers are neutral unless it is their turn.
    for place in range(4):
        op = order_4[place]
        scale = jnp.where(op <= 1, factors_4[op], 1.0)
        planes = _affine(planes, scale, is_contrast=op == 1)
        turn = jnp.where(op == 3, factors_4[3], 0.0)
        ratio = jnp.where(op == 2, factors_4[2], 1.0)
        planes = _hue_saturation(planes, turn, ratio)
        if place < 3:
            planes = _kept_as(clip_TxHxWx3.dtype, planes)
    return _join(planes)


def _kept_as(dtype: Any, planes: _Planes) -> _Planes:
    """Planes rounded to `dtype`.

    The barrier has them written down as such: XLA would write float32, in which they are read.
    """
    if dtype == jnp.float32:
        return planes
    red, green, blue = (plane.astype(dtype) for plane in planes)
    red, green, blue = jax.lax.optimization_barrier((red, green, blue))
    return red.astype(jnp.float32), green.astype(jnp.float32), blue.astype(jnp.float32)


def additive_jitter(
    key: jax.Array,
    clip_TxHxWx3: jax.Array,
    brightness: float = 32 / 255,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.2,
) -> jax.Array:
    """The colours of VATT (arXiv 2104.11178, A.2.1): one number added to all, then as above.

    In this order: brightness, saturation, contrast, hue; values are clipped to [0, 1] after each.

    Args:
      key: a typed PRNG key.
      clip_TxHxWx3: float in [0, 1].
      brightness: the number added is from U[-brightness, brightness].
      contrast: strength of `contrast`, >= 0.
      saturation: strength of `saturation`, >= 0.
      hue: strength of `hue`, in turns, in [0, 0.5].

    Returns:
      float32 [T, H, W, 3] in [0, 1].
    """
    keys = jax.random.split(key, 4)
    offset = jax.random.uniform(keys[0], minval=-brightness, maxval=brightness)
    planes = _split(jnp.clip(clip_TxHxWx3 + offset, 0.0, 1.0))
    planes = _hue_saturation(planes, jnp.float32(0.0), _factor(keys[1], saturation))
    planes = _affine(planes, _factor(keys[2], contrast), jnp.array(True))
    return _join(_hue_saturation(planes, _turn(keys[3], hue), jnp.float32(1.0)))


def greyscale(key: jax.Array, clip_TxHxWx3: jax.Array) -> jax.Array:
    """Luma in all three channels. `key` is not used: nothing is random here."""
    del key
    red, green, blue = _split(clip_TxHxWx3)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return _join((luma, luma, luma))


def solarise(key: jax.Array, clip_TxHxWx3: jax.Array, threshold: float = 0.5) -> jax.Array:
    """Values of at least `threshold` inverted, v -> 1 - v. `key` is not used."""
    del key
    return jnp.where(clip_TxHxWx3 >= threshold, 1.0 - clip_TxHxWx3, clip_TxHxWx3)


def _factor(key: jax.Array, strength: float) -> jax.Array:
    lowest = jnp.maximum(0.0, 1.0 - strength)
    return jax.random.uniform(key, minval=lowest, maxval=1.0 + strength)


def _turn(key: jax.Array, strength: float) -> jax.Array:
    return jax.random.uniform(key, minval=-strength, maxval=strength)


def _split(clip_TxHxWx3: jax.Array) -> _Planes:
    red, green, blue = (clip_TxHxWx3[..., channel].astype(jnp.float32) for channel in range(3))
    return red, green, blue


def _join(planes: _Planes) -> jax.Array:
    return jnp.stack(planes, axis=-1)


def _affine(planes: _Planes, scale: jax.Array, is_contrast: jax.Array) -> _Planes:
    """Values moved away from 0 (brightness) or from their channel's mean (contrast) by `scale`."""

    def moved(plane_TxHxW: jax.Array) -> jax.Array:
        centre = jnp.where(is_contrast, jnp.mean(plane_TxHxW), 0.0)
        return jnp.clip(plane_TxHxW * scale + (1.0 - scale) * centre, 0.0, 1.0)

    red, green, blue = planes
    return moved(red), moved(green), moved(blue)


def _hue_saturation(planes: _Planes, turn: jax.Array, ratio: jax.Array) -> _Planes:
    """HSV hue + `turn` (in turns) and saturation * `ratio` (at most 1), without leaving RGB.

    With V the largest channel and C = V - smallest, scaling S = C / V at constant V scales C. Of
    a given hue h in sixths of a turn, each channel is V - C * clip(min(k, 4 - k), 0, 1) with
    k = (n + h) mod 6 and n = 5, 3, 1 for red, green, blue.
    """
    red, green, blue = planes
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    per_chroma = 1.0 / jnp.maximum(chroma, 1e-6)  # of (nearly) grey the hue does not matter
    # Channels are compared with each other, never with `value`: a compiler may compute a channel
    # twice with different rounding, and where two channels tie both formulas agree.
    sixths = jnp.where(
        (red >= green) & (red >= blue),
        (green - blue) * per_chroma,
        jnp.where(green >= blue, 2.0 + (blue - red) * per_chroma, 4.0 + (red - green) * per_chroma),
    )
    sixths = sixths + 6.0 * turn
    chroma = jnp.minimum(chroma * ratio, value)

    def channel(n: float) -> jax.Array:
        k = n + sixths
        k = k - 6.0 * jnp.floor(k / 6.0)
        return value - chroma * jnp.clip(jnp.minimum(k, 4.0 - k), 0.0, 1.0)

    return channel(5.0), channel(3.0), channel(1.0)
